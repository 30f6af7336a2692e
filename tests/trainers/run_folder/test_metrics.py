"""The metrics file survives interruption, and the curves are drawn from it."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from base.errors import UserError
from trainers.run_folder.files import TrainLine, ValidationLine
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


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws lines and gives the three axes: loss, top-1, learning rate."""

    def draw(lines):
        log = MetricsLog(tmp_path, 0)
        for line in lines:
            log.write(line)
        log.close()
        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
        draw_curves(tmp_path, "title")
        return figures[0].axes

    return draw


def train_line(step, loss, rate=0.1):
    return TrainLine(step=step, epoch=step / 10, loss=loss, top1=0.5, top5=0.7, learning_rate=rate)


@pytest.mark.parametrize("place", [0, 7, 19])
def test_one_loss_that_spikes_does_not_flatten_the_others(drawn, place):
    falling = [7 / step**0.5 for step in range(1, 21)]
    falling[place] = 1e6
    loss_axes, *_ = drawn(train_line(step, loss) for step, loss in enumerate(falling, start=1))
    assert loss_axes.get_ylim()[1] < 8
    assert loss_axes.get_title() == "not shown: 1 of 20 losses, up to 1e+06"


def test_losses_that_fall_are_all_drawn(drawn):
    falling = [7 / step**0.5 for step in range(1, 21)]
    loss_axes, *_ = drawn(train_line(step, loss) for step, loss in enumerate(falling, start=1))
    assert loss_axes.get_ylim()[1] > 7 and not loss_axes.get_title()


def test_the_best_epoch_and_the_rate_are_in_the_curves(drawn):
    scores = {2: 0.3, 4: 0.6, 6: 0.6, 8: 0.4}
    validated = [
        ValidationLine(step=step, epoch=step / 10, loss=1.0, top1=top1, top5=0.9)
        for step, top1 in scores.items()
    ]
    axes = drawn(
        [train_line(1, 2.0), train_line(3, 1.0, rate=0.01), train_line(5, 0.9, None), *validated]
    )
    for each in axes:
        (mark,) = [line for line in each.lines if line.get_linestyle() == "--"]
        assert list(mark.get_xdata()) == [0.6, 0.6], "of equal ones the last"
        assert mark.get_label() == "best: 60.0 % at epoch 0.6"
    np.testing.assert_array_equal(axes[2].lines[0].get_ydata(), [0.1, 0.01, np.nan])
