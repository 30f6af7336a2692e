"""A source that is read once in its own order gives the same bytes, whoever kills it when."""

import os
import pathlib
import re

import pytest

from base.errors import UserError
from data_prep.job import build, runs, sequential, shards
from data_prep.layouts import opening
from data_prep.source import disks
from data_prep.source.images import ImageRef
from tests.making import small_sources
from tests.making.small_builds import Killed, built, config, files


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    train = small_sources.train_images(9)
    train["n00000022"]["n00000022_4.JPEG"] = b"no image"
    return small_sources.tars(tmp_path_factory.mktemp("source") / "images", train)


FLAGS = {"train_shards": 5, "val_shards": 2}


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory) -> dict[str, bytes]:
    return files(built(source, tmp_path_factory.mktemp("data"), **FLAGS, reading="random"))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(runs, "PIECE_IMAGES", 7)
    monkeypatch.setattr(runs, "GROUP_BYTES", 3000)
    monkeypatch.setattr(shards, "CHUNK_IMAGES", 3)
    monkeypatch.setattr(sequential, "CHUNK_IMAGES", 3)


def in_sequence(source: pathlib.Path, data_dir: pathlib.Path, **flags) -> dict[str, bytes]:
    return files(built(source, data_dir, **(FLAGS | {"reading": "sequential"} | flags)))


def test_the_bytes_are_those_of_random_reading(source, expected, tmp_path):
    assert in_sequence(source, tmp_path) == expected


@pytest.mark.parametrize("cut", [1, 2000, 10**9])
def test_nor_do_they_depend_on_the_pieces(cut, source, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PIECE_BYTES", cut)
    monkeypatch.setattr(runs, "PIECE_IMAGES", 10**6)
    monkeypatch.setattr(runs, "GROUP_BYTES", cut)
    assert in_sequence(source, tmp_path, workers=7) == expected


def test_it_reads_once_and_in_order(source, tmp_path, monkeypatch):
    seen: list[tuple[str, int]] = []
    read = ImageRef.read

    def watched(ref):
        seen.append((ref.path, ref.offset))
        return read(ref)

    config_ = config(source, tmp_path, **FLAGS, reading="sequential")
    opened = opening.open_source(str(source))
    monkeypatch.setattr(runs.Runs, "save", lambda *_: seen.append(("", 0)))
    monkeypatch.setattr(ImageRef, "read", watched)
    monkeypatch.setattr(sequential, "shards_from_runs", lambda *_: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        build.build(config_, opened, print)
    archives = [place for place in seen if place[0]]
    converted = archives[-len(opened.refs) :]  # before them some were measured
    assert converted == sorted(converted) and len(set(converted)) == len(opened.refs)


@pytest.mark.parametrize("moment", range(1, 31, 2))
def test_it_continues_where_it_was_killed(moment, source, expected, tmp_path, monkeypatch):
    calls = 0
    replaced = type(tmp_path).replace

    def replace(path, target):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise Killed
        return replaced(path, target)

    with monkeypatch.context() as patch:
        from etils import epath

        for kind in (type(epath.Path(tmp_path)), type(tmp_path)):
            patch.setattr(kind, "replace", replace, raising=False)
        with pytest.raises(Killed):
            in_sequence(source, tmp_path)
    # Whatever the next command would do by itself: the runs are there.
    assert in_sequence(source, tmp_path, reading="random") == expected


def test_finished_pieces_are_not_converted_again(source, expected, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sequential, "shards_from_runs", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            in_sequence(source, tmp_path)
    (records,) = tmp_path.rglob("00002.records")
    records.write_bytes(records.read_bytes()[:-1])  # but for one that was damaged
    count = 0
    convert = shards.ShardJob.convert_read

    def counted(self, read):
        nonlocal count
        chunk = convert(self, read)
        count += chunk.images
        return chunk

    monkeypatch.setattr(shards.ShardJob, "convert_read", counted)
    assert in_sequence(source, tmp_path) == expected
    assert count == 7


def test_begun_at_random_it_goes_on_in_sequence(source, expected, tmp_path, monkeypatch):
    written = shards.ShardJob.write
    count = 0

    def write(self, task, chunks):
        nonlocal count
        count += 1
        if count == 4:
            raise Killed
        return written(self, task, chunks)

    with monkeypatch.context() as patch:
        patch.setattr(shards.ShardJob, "write", write)
        with pytest.raises(Killed):
            in_sequence(source, tmp_path, reading="random")
    with monkeypatch.context() as patch:
        patch.setattr(build, "finish", lambda what, parts: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            in_sequence(source, tmp_path)
    # One shard of each kind is lost.
    for name in ("train.tfrecord-00001-of-00005", "train.tfrecord-00004-of-00005"):
        (path,) = tmp_path.rglob(f"*{name}")
        path.unlink()
    with pytest.raises(UserError, match="--reading=sequential: go on with --engine=local"):
        built(source, tmp_path, **FLAGS, engine="beam")
    assert in_sequence(source, tmp_path) == expected


def test_parquet_folders_and_zips(expected, tmp_path):
    made = {
        "parquet": small_sources.parquet(tmp_path / "parquet"),
        "zip": small_sources.zip_of(small_sources.folders(tmp_path / "folders")),
        "folders": tmp_path / "folders",
    }
    for name, source in made.items():
        want = files(built(source, tmp_path / f"{name}_random", **FLAGS, reading="random"))
        assert in_sequence(source, tmp_path / f"{name}_sequential") == want, name


def test_too_many_rejected_images_stop_it(source, tmp_path):
    with pytest.raises(UserError, match=r"n00000022_4\.JPEG"):
        in_sequence(source, tmp_path, max_rejected=0.001)
    in_sequence(source, tmp_path, max_rejected=0.1)


def test_it_says_that_it_takes_twice_the_room(source, tmp_path):
    said: list[str] = []
    flags = config(source, tmp_path, **FLAGS, reading="sequential")
    build.build(flags, opening.open_source(str(source)), said.append)
    assert any("half of it for a while, as --reading=sequential" in line for line in said)


MOUNTS = """21 1 254:1 / / rw - ext4 /dev/vda1 rw
22 21 8:0 / /mnt/with\\040space rw shared:1 - ext4 /dev/sda rw
23 21 0:50 / /mnt/nas rw - nfs4 nas:/data rw
24 21 0:51 / /mnt/far rw - fuse.sshfs me@there: rw
"""


@pytest.mark.parametrize(
    ("path", "number", "kind"),
    [
        ("/home/me", "254:1", ("ext4", "/dev/vda1")),
        ("/mnt/with space/x", "8:0", ("ext4", "/dev/sda")),
        ("/mnt/nas", "0:50", ("nfs4", "nas:/data")),
        ("/mnt/nasty", "254:1", ("ext4", "/dev/vda1")),
    ],
)
def test_what_is_mounted_where(path, number, kind, tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS)
    assert disks._mount(path, number, str(tmp_path)) == kind


def disk(root: pathlib.Path, name: str, rotational: int, *below: str) -> pathlib.Path:
    block = root / "sys/block" / name
    (block / "queue").mkdir(parents=True)
    (block / "queue/rotational").write_text(f"{rotational}\n")
    for other in below:
        (block / "slaves").mkdir(exist_ok=True)
        (block / "slaves" / other.rpartition("/")[2]).symlink_to(root / "sys/block" / other)
    return block


def test_spinning_disks_are_found_through_partitions_and_device_mapper(tmp_path):
    slow, fast = disk(tmp_path, "sda", 1), disk(tmp_path, "nvme0n1", 0)
    for block, part in ((slow, "sda1"), (fast, "nvme0n1p1")):
        (block / part).mkdir()
        (block / part / "partition").write_text("1")
    assert disks._spinning(slow / "sda1") == "sda"
    assert disks._spinning(fast / "nvme0n1p1") == ""
    crypt = disk(tmp_path, "dm-0", 0, "sda/sda1")
    volume = disk(tmp_path, "dm-1", 0, "nvme0n1/nvme0n1p1", "dm-0")
    assert disks._spinning(volume) == disks._spinning(crypt) == "sda"


def test_auto_takes_the_sequence_for_what_is_slow_to_jump(tmp_path, monkeypatch):
    device = os.stat(tmp_path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    root = tmp_path / "root"
    (root / "proc/self").mkdir(parents=True)
    block = disk(root, "sda", 1)
    (root / "sys/dev/block").mkdir(parents=True)
    (root / "sys/dev/block" / number).symlink_to(block)
    mounts = root / "proc/self/mountinfo"
    mounts.write_text(f"21 1 {number} / / rw - ext4 /dev/sda rw\n")
    said: list[str] = []
    many = disks.FEW_IMAGES

    def choose(reading="auto", images=many):
        return disks.choose(reading, images, str(tmp_path), said.append, str(root))

    assert (choose(), choose("random"), choose(images=many - 1)) == (
        "sequential",
        "random",
        "random",
    )
    assert re.search(r"lies on a spinning disk \(sda\): it is read once", said.pop()) and not said
    (block / "queue/rotational").write_text("0\n")
    assert choose() == "random" and not said
    mounts.write_text(f"21 1 {number} / / rw - nfs4 nas:/data rw\n")
    assert choose() == "sequential" and "a network file system (nfs4)" in said.pop()
    assert choose("sequential") == "sequential" and not said


def test_on_several_machines_there_is_no_sequence(source, tmp_path):
    with pytest.raises(UserError, match="--reading=sequential is one machine's way"):
        config(source, tmp_path, reading="sequential", engine="beam")
