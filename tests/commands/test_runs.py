"""`runs.py` as a user calls it, on run folders that real trainings have left."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.commands.test_end_to_end import QUICK, reproducible
from tests.conftest import ROOT, assert_one_line_error, run_command
from tests.making.run_folders import make_run
from trainers.report.tables import HEADER
from trainers.run_folder import checkpoints
from trainers.run_folder.metrics import read_metrics

RUNS = "trainers/runs.py"


@pytest.fixture
def runs_dir(tmp_path) -> pathlib.Path:
    """Made-up run folders of every state but running."""
    make_run(tmp_path, "alexnet/1", net="alexnet")
    make_run(tmp_path, "demo/1")
    make_run(tmp_path, "demo/2", learning_rate=0.05, finished=False)
    (tmp_path / "demo" / "3").mkdir()
    return tmp_path


@pytest.fixture
def without_tensorflow(tmp_path_factory, monkeypatch) -> None:
    """Commands that are run find a TensorFlow, and a Keras, that cannot be imported."""
    folder = tmp_path_factory.mktemp("stubs")
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text(f"raise AssertionError('{name} is imported')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))


@pytest.mark.slow(reason="every sub-command runs in a process of its own")
@pytest.mark.usefixtures("without_tensorflow")
def test_all_but_resume_answer_without_tensorflow(runs_dir):
    at = f"--runs_dir={runs_dir}"
    listed = run_command(RUNS, "list", at).stdout.splitlines()
    assert tuple(re.split("  +", listed[0])) == HEADER
    alexnet = listed[1].split()
    assert alexnet[:3] == ["alexnet", "1", "alexnet"]
    assert alexnet[3:8] == ["3/3", "60.0", "%", "59.3", "%"]
    assert "crops, epochs, data, size" in listed[1]
    states = [line.split()[-1] for line in listed[1:] if not line.startswith(" ")]
    assert states == ["finished", "finished", "interrupted", "broken"]
    assert "is empty" in listed[-1]

    shown = run_command(RUNS, "show", "alexnet", at).stdout
    assert "error: ours top-1 40.00 %" in shown and "theirs top-1 40.7 %" in shown
    assert "crops: center crop here, 10 crops there" in shown

    differing = run_command(RUNS, "diff", "demo/1", "demo/2", at)
    assert "learning_rate  0.01  0.05" in differing.stdout
    assert (
        "opened"
        in run_command(
            RUNS, "diff", "demo/1", "demo/2", at, f"--tool={sys.executable} -c 'print(\"opened\")'"
        ).stdout
    )

    run_command(RUNS, "note", "demo/2", "The disk was full.", at)
    notes = (runs_dir / "demo" / "2" / "notes.md").read_text()
    assert notes.startswith("# demo, run 2\n\nPurpose:")
    assert notes.endswith(": The disk was full.\n")

    would = run_command(RUNS, "prune", "--dry_run", at).stdout
    assert "demo/2: would be removed: step-00000010.npz, step-00000020.npz" in would
    assert "demo/3: left alone: broken" in would
    freed = run_command(RUNS, "prune", "demo", "alexnet", "demo/2", at).stdout
    assert "demo/2: removed: step-00000010.npz, step-00000020.npz" in freed
    assert (runs_dir / "demo/1/checkpoints/step-00000010.npz").exists(), "it was not named"

    assert "4 runs" in run_command(RUNS, "report", at).stdout
    assert "alexnet/1" in (runs_dir / "report.html").read_text()
    assert "1 run:" in run_command(RUNS, "report", "alexnet", at).stdout
    assert "demo/1" not in (runs_dir / "report.html").read_text()
    assert run_command(RUNS, "list", at).stdout.splitlines() == listed, "all is as it was"


@pytest.mark.usefixtures("without_tensorflow")
def test_help_names_the_sub_commands():
    text = run_command(RUNS, "--help").stdout
    for name in ("list", "show RUN", "diff RUN RUN", "note RUN TEXT", "prune", "resume", "report"):
        assert f"runs.py {name} " in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], ["no sub-command", "list, show, diff, mistakes, note, prune, resume, report"]),
        (["lst"], ["'lst'", "list, show, diff, mistakes, note, prune, resume, report"]),
        (["show"], ["RUN"]),
        (["show", "demo/7"], ["'demo/7'", "demo/2"]),
        (["diff", "demo/1"], ["RUN RUN"]),
        (["list", "demo"], ["demo"]),
        (["list", "--tool=vimdiff"], ["--tool=vimdiff", "diff"]),
        (["note", "demo/1", " "], ["empty"]),
        (["note", "demo/3", "x"], ["demo/3", "broken"]),
        (["resume", "demo/1"], ["demo/1", "is finished"]),
        (["resume", "demo/3"], ["demo/3", "is broken", "is empty"]),
        (["list", "--runs_dir=no/such/place"], ["no/such/place"]),
        (["list", "--nosuchflag"], ["nosuchflag"]),
    ],
)
def test_what_cannot_be_done_is_one_line(runs_dir, arguments, says):
    done = run_command(RUNS, f"--runs_dir={runs_dir}", *arguments, code=1)
    assert_one_line_error(done, *says)


def test_a_reader_that_stops_early_gets_no_traceback(runs_dir):
    command = f"{sys.executable} {RUNS} show alexnet --runs_dir={runs_dir} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == str(runs_dir / "alexnet" / "1")
    assert done.stderr == ""


def test_no_runs_yet(tmp_path):
    assert "no run" in run_command(RUNS, "list", f"--runs_dir={tmp_path}").stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> pathlib.Path:
    """A copy of the workspace, whose nets may be changed."""
    copy = tmp_path_factory.mktemp("workspace")
    for room in ("base", "data_prep", "pipelines", "nets", "trainers", "flags"):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def run_in(workspace: pathlib.Path, *command: str, code: int = 0) -> str:
    """Runs a command of a copy of the workspace; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(workspace)},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def train_in(workspace: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Eight steps with an evaluation after each fourth."""
    steps = ("--train_steps=8", "--eval_epochs=0.0667")
    run_in(workspace, "trainers/train.py", *QUICK, f"--data_dir={data_dir}", *steps)


@pytest.fixture(scope="module")
def two_runs(workspace, generated_data) -> pathlib.Path:
    """Two runs with the same flags, between which the source of their net was changed."""
    train_in(workspace, generated_data)
    run_in(workspace, "trainers/evaluate.py", "--run=runs/demo/1")
    evaluation = workspace / "runs/demo/1/evaluation_center_crop_validation.json"
    shutil.copy(evaluation, workspace / "before.json")
    evaluation.unlink()
    source = workspace / "nets" / "resnet.py"
    text = source.read_text()
    assert text.count(EPSILON) == 1
    source.write_text(text.replace(EPSILON, CHANGED))
    train_in(workspace, generated_data)
    return workspace


EPSILON, CHANGED = "epsilon=1e-5", "epsilon=0.5"


@pytest.mark.end_to_end
def test_a_run_is_evaluated_by_the_net_it_was_trained_with_though_nets_has_changed(two_runs):
    first, second = (two_runs / "runs/demo" / number for number in "12")
    assert reproducible(first) != reproducible(second), "the change matters"
    run_in(two_runs, "trainers/evaluate.py", "--run=runs/demo/1")
    after = json.loads((first / "evaluation_center_crop_validation.json").read_text())
    assert after == json.loads((two_runs / "before.json").read_text())


@pytest.mark.end_to_end
def test_diff_shows_the_change_of_the_source_and_of_the_metrics(two_runs):
    lines = run_in(two_runs, RUNS, "diff", "demo/1", "demo/2").splitlines()
    changed = [line for line in lines if line[:1] in "+-" and "epsilon" in line]
    assert [EPSILON in changed[0], CHANGED in changed[1]] == [True, True]
    assert len(changed) == 2
    assert lines[lines.index("flags") + 1].strip() == "nothing differs"
    assert lines[lines.index("data") + 1].strip() == "nothing differs"
    first = [read_metrics(two_runs / "runs/demo" / number)[-1] for number in "12"]
    final = next(line.split() for line in reversed(lines) if "%" in line)
    assert [float(loss) for loss in final[-2:]] == [round(line.loss, 4) for line in first]


@pytest.mark.end_to_end
def test_resume_continues_that_very_run_though_there_is_a_newer_one(two_runs, tmp_path):
    # As a kill after the fourth step leaves it, moved to another place.
    runs = tmp_path / "moved"
    shutil.copytree(two_runs / "runs", runs)
    whole = reproducible(runs / "demo" / "1")
    newer = sorted(path.name for path in (runs / "demo" / "2").rglob("*"))
    interrupted = runs / "demo" / "1"
    (interrupted / "result.json").unlink()
    checkpoints.by_step(interrupted / "checkpoints")[-1].unlink()
    lines = (interrupted / "metrics.jsonl").read_text().splitlines(keepends=True)
    (interrupted / "metrics.jsonl").write_text("".join(lines[:-2]) + lines[-2][:20])
    printed = run_in(two_runs, RUNS, "resume", "demo/1", f"--runs_dir={runs}")
    assert "continuing after step 4 of 8" in printed
    assert reproducible(interrupted) == whole
    assert sorted(path.name for path in (runs / "demo").iterdir()) == ["1", "2"]
    assert sorted(path.name for path in (runs / "demo" / "2").rglob("*")) == newer
    listed = run_in(two_runs, RUNS, "list", f"--runs_dir={runs}").splitlines()
    assert [line.split()[-1] for line in listed[1:]] == ["finished"] * 2


@pytest.mark.end_to_end
def test_a_run_that_is_trained_is_running_and_is_left_alone(generated_data, tmp_path):
    command = [sys.executable, "trainers/train.py", *QUICK, "--train_steps=100000"]
    places = [f"--data_dir={generated_data}", f"--runs_dir={tmp_path}"]
    process = subprocess.Popen([*command, *places], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        metrics = tmp_path / "demo" / "1" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        at = f"--runs_dir={tmp_path}"
        assert run_command(RUNS, "list", at).stdout.splitlines()[1].endswith("running")
        assert "demo/1: left alone: running" in run_command(RUNS, "prune", at).stdout
        assert_one_line_error(run_command(RUNS, "resume", "demo/1", at, code=1), "is running")
        assert "running" in run_command(RUNS, "show", "demo", at).stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert run_command(RUNS, "list", at).stdout.splitlines()[1].endswith("interrupted")
