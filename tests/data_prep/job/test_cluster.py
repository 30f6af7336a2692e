"""A build on a cluster of two worker processes: the same bytes, also where one is killed."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from base.errors import UserError
from data_prep.job import cluster
from data_prep.layouts import opening, webdataset
from data_prep.source import sample
from tests.conftest import ROOT
from tests.making import small_sources
from tests.making.small_builds import built, files

Client = pytest.importorskip("distributed", reason="the dask extra is not installed").Client
pytestmark = pytest.mark.slow(reason="it starts a cluster of processes")

FLAGS = {"train_shards": 12, "val_shards": 2, "size": 256}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    train = {
        wnid: {
            f"{wnid}_{i}.JPEG": small_sources.encoded(
                small_sources.picture(i + 1000 * label, 600, 800), quality=90
            )
            for i in range(200)
        }
        for label, wnid in enumerate(small_sources.WNIDS)
    }
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images", train)


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory) -> dict[str, bytes]:
    return files(built(source, tmp_path_factory.mktemp("data"), **FLAGS))


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """Starts one of Dask's processes."""
    running = []
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}

    def begin(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *arguments]
        log = (tmp_path / f"log_{len(running)}").open("w")
        running.append(
            subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def workers(start, tmp_path) -> tuple[str, list[subprocess.Popen]]:
    """A scheduler's address, and two workers of it."""
    known = tmp_path / "scheduler.json"
    start(
        "scheduler", "--port=0", "--no-dashboard", "--host=127.0.0.1", f"--scheduler-file={known}"
    )
    flags = (f"--scheduler-file={known}", "--nthreads=1", "--no-nanny", "--no-dashboard")
    both = [start("worker", *flags) for _ in range(2)]
    while not known.exists():
        time.sleep(0.05)
    with Client(scheduler_file=str(known), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        return client.scheduler.address, both


def test_two_workers_make_the_same_bytes(workers, source, expected, tmp_path, capsys):
    address, both = workers
    directory = built(source, tmp_path / "data", **FLAGS, engine="dask", dask_scheduler=address)
    assert files(directory) == expected
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "by worker" in line]
    for worker in both:  # each has done a good part of it
        assert int(line.partition(f"/{worker.pid}: ")[2].partition(",")[0]) >= 3, line


@pytest.fixture(params=["generated", "photographs"])
def any_source(request, source) -> pathlib.Path:
    if request.param == "generated":
        return source
    photographs: pathlib.Path = request.getfixturevalue("sample_dir")
    return photographs / "ilsvrc2012_sample"


def test_one_is_killed_half_way(workers, any_source, tmp_path):
    address, both = workers
    expected = files(built(any_source, tmp_path / "alone", **FLAGS))
    flags = [f"--{name}={value}" for name, value in FLAGS.items()]
    command = [sys.executable, str(ROOT / "data_prep" / "build_tfrecords.py"), *flags]
    command += [f"--source={any_source}", "--data_dir=data", "--max_rejected=0.5"]
    command += ["--engine=dask", f"--dask_scheduler={address}"]
    # Its paths are relative to a folder that the workers are not in.
    place = tmp_path / "data"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as job:
        while len(list(place.glob("*/*/1.0.0/*.tfrecord-*"))) < 6:
            assert job.poll() is None, job.communicate()
            time.sleep(0.005)
        assert job.poll() is None and not list(place.glob("*/*/1.0.0/dataset_info.json"))
        both[0].send_signal(signal.SIGKILL)
        assert job.communicate(timeout=120)[1] == ""
    assert job.returncode == 0
    (directory,) = place.glob("*/*/1.0.0")
    assert files(directory) == expected


@pytest.fixture
def many_tars(tmp_path) -> pathlib.Path:
    """WebDataset's tars with 24,000 images of one picture, and something odd in each."""
    image = small_sources.encoded(small_sources.picture(1))
    for number in range(30):
        members = {}
        for i in range(800):
            members |= {f"{number}/{i}.jpg": image, f"{number}/{i}.cls": b"%d" % (i % 3)}
        tar = sample.tar_bytes(members | {f"{number}/.DS_Store": b"x"})
        small_sources.write(tmp_path / "many", {f"train-{number:03d}.tar": tar})
    return tmp_path / "many"


def test_many_tars_are_listed_on_the_workers_of_which_one_is_killed(
    workers, many_tars, monkeypatch
):
    address, both = workers
    expected = opening.open_source(str(many_tars))
    each = cluster.each_file(address)

    def killing(function, paths):
        for number, found in enumerate(each(function, paths)):
            if number == 5:
                both[0].send_signal(signal.SIGKILL)
            yield found

    monkeypatch.setattr(webdataset, "_samples", lambda *_: pytest.fail("listed in this process"))
    found = opening.open_source(str(many_tars), each=killing)
    assert both[0].wait() == -signal.SIGKILL
    assert found.refs == expected.refs and found.classes == expected.classes
    assert list(found.remarks.lines()) == list(expected.remarks.lines())
    assert found.remarks.count("hidden") == 30
    damaged = many_tars / "train-017.tar"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"train-017\.tar is truncated"):
        opening.open_source(str(many_tars), each=each)


def test_a_build_lists_on_the_workers_too(workers, tmp_path):
    address, _ = workers
    tars = {
        f"{wnid}.tar": sample.tar_bytes(found)
        for wnid, found in small_sources.train_images().items()
    }
    small_sources.write(tmp_path / "classes", tars)
    script = str(ROOT / "data_prep" / "build_tfrecords.py")
    command = [sys.executable, script, f"--source={tmp_path / 'classes'}", "--train_shards=3"]
    command += ["--size=32", "--max_rejected=0.5", f"--data_dir={tmp_path / 'together'}"]
    subprocess.run([*command, "--engine=dask", f"--dask_scheduler={address}"], check=True)
    (together,) = (tmp_path / "together").glob("*/*/1.0.0")
    assert files(together) == files(built(tmp_path / "classes", tmp_path / "alone", val_shards=0))


def test_beam_on_dask_spreads_a_small_pipeline_too(workers, source, expected, tmp_path):
    pytest.importorskip("apache_beam", reason="the beam extra is not installed")
    address, _ = workers
    runner = "apache_beam.runners.dask.dask_runner.DaskRunner"
    options = f"--runner={runner} --dask_client_address={address}"
    directory = built(source, tmp_path / "data", **FLAGS, engine="beam", beam_options=options)
    assert files(directory) == expected
    Client.current(allow_global=True).close()  # Beam leaves it open


def test_beam_names_a_runner_that_is_none(source, tmp_path):
    pytest.importorskip("apache_beam", reason="the beam extra is not installed")
    with pytest.raises(UserError, match="--beam_options=--runner=Nobody: Unexpected pipeline"):
        built(source, tmp_path, **FLAGS, engine="beam", beam_options="--runner=Nobody")


def test_what_a_cluster_may_lack_is_one_line(start, source, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_ANSWER_SECONDS", 2)

    def refused(address: str) -> str:
        with pytest.raises(UserError) as caught:
            built(source, tmp_path / "data", **FLAGS, engine="dask", dask_scheduler=address)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "needs --dask_scheduler=ADDRESS" in refused("")
    assert "no Dask scheduler answers at" in refused("tcp://127.0.0.1:1")
    assert "no Dask scheduler answers at" in refused("nowhere:at:all")
    known = tmp_path / "scheduler.json"
    start(
        "scheduler", "--port=0", "--no-dashboard", "--host=127.0.0.1", f"--scheduler-file={known}"
    )
    while not known.exists():
        time.sleep(0.05)
    assert "has no workers: start some" in refused(json.loads(known.read_text())["address"])
