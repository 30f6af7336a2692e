"""The metrics file survives interruption, and the curves are drawn from it."""

import json

import pytest

from base.errors import UserError
from trainers.run_folder.files import TrainLine
from trainers.run_folder.metrics import MetricsLog, draw_curves, read_metrics


def write(directory, steps, resumed_step=0):
    log = MetricsLog(directory, resumed_step)
    for step in steps:
        log.write(TrainLine(step=step, epoch=step / 10, loss=1 / step, top1=0.5, top5=0.7))
    log.close()


def test_lines_after_the_resumed_step_are_written_anew(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    write(tmp_path, [3, 5], resumed_step=2)
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2, 3, 5]


def test_a_cut_off_last_line_is_left_out(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 3, "lo')
    assert [line.step for line in read_metrics(tmp_path)] == [1, 2]
    write(tmp_path, [3], resumed_step=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_lost(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    first, second = path.read_text().splitlines()
    damaged = f"{first}\n{second[:9]}\n{second}\n"
    path.write_text(damaged)
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2, is damaged"):
        MetricsLog(tmp_path, 2)
    assert path.read_text() == damaged


def test_no_metrics_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UserError, match="has not started"):
        read_metrics(tmp_path)


def test_curves_are_a_picture(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = draw_curves(tmp_path, "title")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]
