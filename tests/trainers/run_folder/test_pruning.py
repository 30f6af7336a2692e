"""Pruning keeps what every command needs, and touches nothing that is in use or in doubt."""

import os

import pytest

from tests.making.run_folders import loop_state, make_run, write_checkpoint
from trainers.run_folder import checkpoints
from trainers.run_folder.pruning import prune
from trainers.run_folder.records import read_record


def names(run):
    return sorted(path.name for path in run.checkpoints.iterdir())


def size_on_disk(run):
    return sum({p.stat().st_ino: p.stat().st_size for p in run.checkpoints.iterdir()}.values())


@pytest.mark.parametrize("finished", [True, False])
def test_the_last_and_the_best_are_kept_and_what_is_freed_is_true(tmp_path, finished):
    run = make_run(tmp_path, top1s=(0.2, 0.6, 0.5, 0.4), finished=finished)
    (run.checkpoints / "step-00000050.tmp").write_bytes(b"half-written" * 100)
    (run.checkpoints / "mine.txt").touch()
    before, used = names(run), size_on_disk(run)
    would = prune(read_record(run.directory), dry_run=True)
    assert names(run) == before, "a dry run removes nothing"
    done = prune(read_record(run.directory), dry_run=False)
    assert done == would
    assert names(run) == ["best.npz", "mine.txt", "step-00000040.npz"]
    assert done.freed == used - size_on_disk(run) > 0, "the best one's second name freed nothing"
    assert checkpoints.load(run.checkpoints / "best.npz").state == loop_state(20)
    assert prune(read_record(run.directory), dry_run=False).removed == ()


def test_a_running_run_is_left_alone(tmp_path):
    run = make_run(tmp_path, finished=False)
    before, record = names(run), read_record(run.directory)
    with run.lock():
        for looked in (record, read_record(run.directory)):
            assert prune(looked, dry_run=False).left_alone == "running"
    assert names(run) == before


def test_a_broken_run_is_left_alone_with_the_reason(tmp_path):
    run = make_run(tmp_path)
    (run.checkpoints / "best.npz").unlink()
    before = names(run)
    assert "best.npz is missing" in prune(read_record(run.directory), dry_run=False).left_alone
    assert names(run) == before


def test_older_checkpoints_stay_where_the_last_one_is_damaged(tmp_path):
    run = make_run(tmp_path, finished=False)
    last = write_checkpoint(run.checkpoints, 40)
    content = bytearray(last.read_bytes())
    content[content.index(b"\x93NUMPY") + 300] ^= 1  # only the array's CRC notices
    last.write_bytes(content)
    before, record = names(run), read_record(run.directory)
    assert record.state == "interrupted"
    assert "step-00000040.npz is damaged" in prune(record, dry_run=False).left_alone
    assert names(run) == before


def test_a_run_without_checkpoints_has_nothing_to_prune(tmp_path):
    run = make_run(tmp_path, top1s=(), finished=False)
    os.makedirs(run.checkpoints, exist_ok=True)
    assert prune(read_record(run.directory), dry_run=False).removed == ()
