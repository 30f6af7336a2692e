"""A run folder with one damaged file is read and shown, with what is wrong as a fault."""

import json
import pathlib

from tests.making.run_folders import make_data, make_run
from trainers.report import page, tables
from trainers.run_folder import records

EVALUATION = {
    "protocol": "center_crop",
    "split": "validation",
    "top1": 0.5,
    "top5": 0.75,
    "images": 20,
    "per_class": {"n00000000": 0.5},
    "most_confused": [["n00000000", "n00000001", 3]],
}
STATISTICS = {"channel_mean": [120.0, 110.0, 100.0], "channel_std": [70.0, 70.0, 70.0]}
# Nothing but its presence counts for these.
UNREAD = ("net/",)


def test_a_run_folder(fuzz, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its path stands in its flags: the same on every machine
    runs_dir = pathlib.Path("runs")
    data = make_data() | {"statistics": STATISTICS, "manifest_sha256": "0" * 64}
    run = make_run(runs_dir, "fuzzed/1", top1s=(0.2, 0.5), data=data, note="a note")
    run.write_json("evaluation_center_crop_validation.json", EVALUATION)
    environment = json.loads((run.directory / "environment.json").read_text())
    environment |= {"packages": {"keras": "3.13"}, "gpus": ["one"], "git_uncommitted": ""}
    run.write_json("environment.json", environment)
    whole = {
        name: path.read_bytes()
        for path in sorted(run.directory.rglob("*"))
        if path.is_file()
        and not (name := path.relative_to(run.directory).as_posix()).startswith(UNREAD)
    }
    assert len(whole) >= 9

    def read(name: str, damaged: bytes) -> None:
        path = run.directory / name
        try:
            path.write_bytes(damaged)
            record = records.read_record(run.directory, runs_dir)
            assert (record.state == records.BROKEN) == bool(record.faults)
            assert all("\n" not in fault for fault in record.faults), record.faults
            tables.list_table([record])
            tables.show_text(record)
            page.page([record], runs_dir)
        finally:
            path.write_bytes(whole[name])

    fuzz(whole, read, text=True)
