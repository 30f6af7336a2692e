"""A report that is watched is written when a run has changed, and only then."""

import re
import time

import pytest

from base.errors import UserError
from tests.making.run_folders import make_run, metrics_line
from trainers.report import watching
from trainers.run_folder.finding import run_folders


def test_it_is_written_when_a_run_has_changed_and_ends_by_the_keyboard(tmp_path, monkeypatch):
    run = make_run(tmp_path, "demo/1")
    report = tmp_path / "report.html"
    said, found = [], []

    def new_run():
        make_run(tmp_path, "demo/2")

    def new_line():
        with (run.directory / "metrics.jsonl").open("a") as file:
            file.write(str(metrics_line("train", 4, 0.5)).replace("'", '"') + "\n")

    def stop():
        raise KeyboardInterrupt

    events = iter([lambda: None, new_run, lambda: None, new_line, lambda: run.lock(), stop])
    held = []

    def sleep(seconds):
        assert seconds == watching.SECONDS
        found.append(re.search(r'data-reload="(\d+)"', report.read_text())[1])
        held.append(next(events)())

    monkeypatch.setattr(time, "sleep", sleep)
    watching.watch(lambda: run_folders(tmp_path), tmp_path, report, said.append)
    assert said == [1, 2, 2, 2], "not where nothing has changed"
    assert found == ["5"] * 6
    text = report.read_text()
    assert 'data-reload="0"' in text, "what is left loads itself no more"
    assert 'class="state running"' in text and '"epoch":[0.5,1.0,1.5,2.0,2.5,3.0,4.0]' in text


def test_a_place_where_nothing_can_be_written_ends_it(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output"):
        watching.watch(lambda: [], tmp_path, tmp_path / "file" / "report.html", print)
