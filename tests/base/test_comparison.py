"""What comparisons with peers print and keep."""

import pytest

from base.comparison import OURS, Comparison, load, table
from base.errors import UserError
from tests.conftest import assert_one_line_error, run_command


def line_of(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.strip().startswith(start)]
    return found


def test_the_ratio_is_the_median_over_the_rounds():
    # The machine was half as fast in the second round, for both.
    comparison = Comparison("crops", {OURS: [30, 15, 31], "peer": [20, 10, 20]}, {})
    assert comparison.ratio("peer") == 1.5
    lines = comparison.lines()
    assert line_of(lines, OURS).split() == [OURS, "30.0", "15.0", "31.0"]
    assert line_of(lines, "peer").endswith("1.50 times")


@pytest.mark.parametrize(("target", "verdict"), [(1.5, "reached"), (1.51, "MISSED")])
def test_a_target_is_reached_or_missed(target, verdict):
    comparison = Comparison("crops", {OURS: [1500.0], "peer": [1000.0]}, {"peer": target})
    assert line_of(comparison.lines(), "peer").endswith(f"1.50 times (target {target}: {verdict})")
    assert "1,500" in line_of(comparison.lines(), OURS)


def test_figures_are_kept_in_the_order_in_which_they_came(tmp_path, capsys):
    path = str(tmp_path / "new" / "speed.jsonl")
    first = Comparison("crops", {OURS: [2.0], "peer": [1.0]}, {"peer": 1.2})
    second = Comparison("steps", {OURS: [3.0]}, {}, {"other": "No module named 'other'"})
    for comparison in (first, second):
        comparison.save(path)
        comparison.save("")
    assert load(path) == [first, second]
    done = run_command("benchmarks/speed_table.py", f"--figures={path}")
    assert done.stdout.splitlines() == table([first, second])
    assert "left out: other (No module named 'other')" in done.stdout


@pytest.mark.parametrize("content", [None, "no figures\n", '{"rates": {}}\n'])
def test_what_holds_no_figures_is_one_clear_line(content, tmp_path):
    path = tmp_path / "speed.jsonl"
    if content:
        path.write_text(content)
    with pytest.raises(UserError, match="run benchmarks with it first"):
        load(str(path))


def test_the_command_names_the_flag():
    assert_one_line_error(
        run_command("benchmarks/speed_table.py", "--figures=/none", code=1), "--figures=/none"
    )
