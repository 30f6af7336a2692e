"""Where a file system lacks what others have, a run is trained and continued all the same."""

import errno
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.making.datasets import write_dataset
from tests.making.preloaded import lacking
from tests.making.tiny_net import tiny_net

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.slow(reason="it trains twice for each lack, in processes of their own"),
]

FLAGS = (
    "--train_map=decode_random_crop(24)",
    "--eval_map=decode_center_crop(24)",
    "--train_batch_size=16",
    "--train_epochs=2",
    "--replicas=cpu",
)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
def test_without_links_locks_flushing_and_renaming_over_a_run_is_trained_and_continued(
    tmp_path, code
):
    data_dir = write_dataset(tmp_path / "data", train=32)
    places = [*tiny_net(tmp_path), f"--data_dir={data_dir}", f"--runs_dir={tmp_path / 'runs'}"]
    environment = lacking(tmp_path, "fsync,flock,link,rename_over", code)

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            **{"env": environment, "cwd": ROOT, "capture_output": True, "text": True},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("trainers/train.py", *FLAGS, *places)
    directory = tmp_path / "runs" / "tiny_net" / "1"
    checkpoints = directory / "checkpoints"
    whole = (directory / "metrics.jsonl").read_text().count("\n")
    assert (checkpoints / "best.npz").exists()
    (directory / "result.json").unlink()
    (checkpoints / "step-00000004.npz").unlink()
    assert "continuing after step 2 of 4" in run("trainers/train.py", *FLAGS, *places)
    assert (directory / "metrics.jsonl").read_text().count("\n") == whole
    listed = run("trainers/runs.py", "list", f"--runs_dir={tmp_path / 'runs'}")
    assert listed.splitlines()[1].endswith("finished")
    assert not [path for path in directory.rglob("*") if path.suffix in (".tmp", ".holder")]
