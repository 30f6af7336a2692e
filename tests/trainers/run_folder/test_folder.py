"""A run folder is made once, described whole, and locked while it is trained."""

import concurrent.futures
import errno
import json
import time

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.making.datasets import write_dataset
from tests.making.run_folders import make_data, make_run
from trainers import config
from trainers.report.tables import list_table
from trainers.run_folder import folder, provenance
from trainers.run_folder.continuing import claim, find_interrupted
from trainers.run_folder.folder import new_run
from trainers.run_folder.pruning import prune
from trainers.run_folder.records import find_record, find_records


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")


def flags(data_dir, runs_dir, *more):
    maps = ("--train_map=decode_random_crop(32)", "--eval_map=decode_center_crop(24)")
    return config.parse(
        [
            "--net=resnet10(width=4)",
            f"--data_dir={data_dir}",
            f"--runs_dir={runs_dir}",
            *maps,
            *more,
        ]
    )


def start(config):
    return new_run(config, InputPipeline(open_dataset(config.pipeline), config.pipeline))


def test_runs_that_start_at_once_get_different_numbers(data_dir, tmp_path, monkeypatch):
    # Parsing Python, as the description does, fails in several threads of Python 3.11 at once.
    monkeypatch.setattr(folder, "_describe", lambda *arguments: None)
    settings = flags(data_dir, tmp_path)
    pipeline = InputPipeline(open_dataset(settings.pipeline), settings.pipeline)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(new_run, settings, pipeline) for _ in range(8)]
        found = [future.result() for future in futures]
    assert sorted(run.number for run, _ in found) == [*range(1, 9)]
    for _, lock in found:
        lock.close()


def test_a_place_where_no_folder_can_be_made_is_named(data_dir, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/resnet10: Not a directory: take another --runs_dir"):
        start(flags(data_dir, tmp_path / "file"))


def test_a_lock_is_one_processs_and_a_look_does_not_take_it(data_dir, tmp_path):
    run, lock = start(flags(data_dir, tmp_path))
    assert run.running()
    assert run.lock() is None
    lock.close()
    assert not run.running()
    again = run.lock()
    assert again is not None
    again.close()


def test_a_start_waits_for_a_look_that_holds_the_lock_for_a_moment(data_dir, tmp_path):
    run, lock = start(flags(data_dir, tmp_path))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(run.lock)
        time.sleep(0.05)
        lock.close()
        taken = waiting.result()
    assert taken is not None
    taken.close()


def test_the_description_is_complete_and_is_read_back(data_dir, tmp_path):
    settings = flags(data_dir, tmp_path, "--note=Why?", "--classes=3")
    run, lock = start(settings)
    lock.close()
    assert run.config() == settings
    assert "Purpose: Why?" in (run.directory / "notes.md").read_text()
    data = json.loads((run.directory / "data.json").read_text())
    assert data["records"] == {"train": 36, "validation": 6}
    assert data["statistics"] == {
        "channel_mean": [120.0, 115.0, 104.0],
        "channel_std": [70.0, 68.0, 72.0],
    }
    assert data["image_size"] == {"train": [32, 32], "eval": [24, 24]}
    assert data["wnids"] == ["n00000000", "n00000001", "n00000002"]
    assert data.keys() >= make_data().keys()
    text = (run.directory / "flags.cfg").read_text()
    names = [line.partition("=")[0] for line in text.splitlines() if line.startswith("--")]
    assert names == sorted(names)
    assert "# not the default:\n--note=Why?\n" in text
    assert "\n--learning_rate=0.01\n" in text
    assert not list(run.directory.glob("*.tmp"))


def test_a_value_that_a_flag_file_cannot_keep_is_refused_before_a_folder_is_made(
    data_dir, tmp_path
):
    for note in ("two\nlines", "a space at the end ", "no text \udcff"):
        with pytest.raises(UserError, match="--note"):
            start(flags(data_dir, tmp_path / "runs", f"--note={note}"))
    assert not (tmp_path / "runs").exists()


def test_where_a_description_cannot_be_written_one_line_says_so_and_no_run_is_left(
    data_dir, tmp_path, monkeypatch
):
    def full(run, name, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(run.directory / name))

    monkeypatch.setattr(folder.Run, "write_json", full)
    with pytest.raises(UserError, match=r"environment.json: No space left.*another --runs_dir"):
        start(flags(data_dir, tmp_path / "runs"))
    assert not list((tmp_path / "runs").iterdir())


def test_experiments_in_an_experiment_are_no_runs_of_it_though_their_names_are_numbers(tmp_path):
    for name in ("a/3", "a/20240101/1", "a/20240101/2"):
        make_run(tmp_path, name)
    assert folder.numbers(tmp_path / "a") == [3]
    assert folder.newest(tmp_path / "a").number == 3
    assert [each.name for each in find_records(tmp_path)] == ["a/3", "a/20240101/1", "a/20240101/2"]
    assert "a/20240101" in list_table(find_records(tmp_path))
    assert prune(find_record("a/20240101", tmp_path), dry_run=True).removed


def test_only_the_newest_interrupted_run_with_the_same_flags_is_found(data_dir, tmp_path):
    settings = flags(data_dir, tmp_path)
    run, lock = start(settings)
    assert find_interrupted(settings) is None, "it is being trained"
    lock.close()
    found, lock = find_interrupted(settings)
    lock.close()
    assert found == run
    assert find_interrupted(flags(data_dir, tmp_path, "--learning_rate=0.5")) is None
    (run.directory / "flags.cfg").write_text("--nosuchflag=1\n")
    assert find_interrupted(settings) is None, "a broken run does not stop a new one"


def test_a_named_run_is_claimed_unless_it_is_running_or_finished(data_dir, tmp_path):
    first, lock = start(flags(data_dir, tmp_path))
    with pytest.raises(UserError, match="is running"):
        claim(first)
    lock.close()
    start(flags(data_dir, tmp_path))[1].close()
    run, lock = claim(first)
    lock.close()
    assert run == first, "though there is a newer one"
    first.write_json("result.json", {})
    with pytest.raises(UserError, match="is finished"):
        claim(first)
    assert not first.running(), "the refusal has let the lock go"


def test_an_uncommitted_change_is_kept_up_to_a_size_and_says_where_it_was_cut(monkeypatch):
    diff = "\n".join(f"+line {number}" for number in range(5000))
    monkeypatch.setattr(provenance, "_git", lambda *a: diff if a[0] == "diff" else "abc")
    assert provenance.describe_environment().git_uncommitted == diff
    monkeypatch.setattr(provenance, "MAX_DIFF_CHARACTERS", 1000)
    environment = provenance.describe_environment()
    kept = environment.git_uncommitted
    assert diff.startswith(kept) and kept.endswith("\n") and 980 < len(kept) <= 1000
    assert environment.git_uncommitted_cut == (
        f"the first {len(kept)} of {len(diff)} characters are kept"
    )


def test_the_environment_has_every_version_that_results_depend_on(monkeypatch):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=0")
    monkeypatch.setenv("TF_CONFIG", "names hosts")
    monkeypatch.setenv("TF_VAR_password", "Terraform's")
    environment = provenance.describe_environment()
    wanted = {"tensorflow", "keras", "numpy", "scipy", "numba", "pillow", "simplejpeg"}
    assert wanted <= environment.packages.keys()
    assert environment.variables["TF_DETERMINISTIC_OPS"] == "1"
    assert environment.variables["XLA_FLAGS"] == "--xla_gpu_autotune_level=0"
    assert not {"TF_CONFIG", "TF_VAR_password"} & environment.variables.keys()


def test_what_computes_on_gpus_is_described(monkeypatch, tmp_path):
    version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
    (tmp_path / "version").write_text(version)
    monkeypatch.setattr(provenance, "_DRIVER", tmp_path / "version")
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    details = {"device_name": "NVIDIA H200", "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    environment = provenance.describe_environment()
    assert environment.gpus == ("NVIDIA H200",)
    assert environment.cuda.driver == "570.86.15"
    assert environment.cuda.compute_capabilities == ("9.0",)
    assert environment.cuda.tf32 is True
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert provenance.describe_environment().cuda is None


def test_the_environment_names_no_user_host_or_path(tmp_path):
    import getpass
    import os
    import platform

    environment = provenance.describe_environment()
    assert environment.packages["numpy"] == np.__version__
    environment = msgspec.structs.replace(environment, git_uncommitted=None)
    text = json.dumps(msgspec.to_builtins(environment))
    assert os.getcwd() not in text
    assert platform.node() not in text or len(platform.node()) < 4
    assert f'"{getpass.getuser()}"' not in text


def test_nothing_heavy_is_imported_to_read_run_folders():
    for module in (folder, provenance):
        assert "tf" not in vars(module) and "keras" not in vars(module)
