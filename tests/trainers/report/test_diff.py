"""A diff of two runs says what differs, and nothing else."""

import sys

import pytest

from base.errors import UserError
from tests.making.run_folders import make_run
from trainers.report.diff import diff_text, run_tool
from trainers.run_folder.records import read_record


def diff(a, b):
    return diff_text(
        read_record(a.directory, a.directory.parent.parent),
        read_record(b.directory, b.directory.parent.parent),
    )


def section(text: str, title: str) -> str:
    """The lines of one section of a diff."""
    titles = ("flags", "net source", "environment", "data", "metrics")
    lines = text.splitlines()
    start = lines.index(title) + 1
    ends = [i for i in range(start, len(lines)) if lines[i] in titles]
    return "\n".join(lines[start : ends[0] if ends else None])


def test_runs_that_differ_in_nothing_say_so(tmp_path):
    text = diff(make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2"))
    for title in ("flags", "net source", "environment", "data"):
        assert section(text, title).strip() == "nothing differs"


def test_flags_are_compared_by_their_effective_values(tmp_path):
    a, b = make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2", learning_rate=0.05)
    flags = section(diff(a, b), "flags")
    assert [line.split() for line in flags.strip().splitlines()] == [
        ["a", "b"],
        ["learning_rate", "0.01", "0.05"],
    ]
    # A flag that was given its default is no difference to one that was not given.
    lines = (a.directory / "flags.cfg").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("--learning_rate=")]
    (a.directory / "flags.cfg").write_text("\n".join(kept))
    assert section(diff(a, b), "flags") == flags


def test_flags_of_an_older_workspace_are_compared_as_written(tmp_path):
    a, b = make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2")
    with (b.directory / "flags.cfg").open("a") as file:
        file.write("--momentum_of_old=0.9\n")
    text = diff(a, b)
    assert "momentum_of_old" in section(text, "flags")
    assert "broken" in text.splitlines()[1]


def test_the_nets_source_is_a_unified_diff(tmp_path):
    a, b = make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2")
    dataset = b.directory / "net" / "resnet.py"
    dataset.write_text(dataset.read_text() + "CHANGED = True\n")
    (b.directory / "net" / "added.py").write_text("ADDED = 1\n")
    lines = section(diff(a, b), "net source").splitlines()
    assert "--- demo/1/net/resnet.py" in lines
    assert "+++ demo/2/net/resnet.py" in lines
    assert "+CHANGED = True" in lines
    assert "+ADDED = 1" in lines


def test_environment_data_and_metrics_are_side_by_side(tmp_path):
    a = make_run(tmp_path, "demo/1", top1s=(0.2, 0.6))
    b = make_run(tmp_path, "demo/2", top1s=(0.25,), data={"records": {"train": 70}})
    b.write_json("environment.json", {"python": "3.12", "git_uncommitted": "x\ny\n", "gpus": []})
    text = diff(a, b)
    environment = section(text, "environment")
    assert ["python", "3.11", "3.12"] in [line.split() for line in environment.splitlines()]
    assert "2 lines" in environment
    assert "records.train       100  70" in section(text, "data")
    metrics = [line.split() for line in section(text, "metrics").splitlines()]
    assert ["best", "top-1", "60.0", "%", "25.0", "%"] in metrics
    assert ["1", "20.0", "%", "25.0", "%", "2.6000", "2.5000"] in metrics
    assert ["2", "60.0", "%", "-", "1.8000", "-"] in metrics


def test_broken_runs_are_compared_as_far_as_they_can_be_read(tmp_path):
    a, b = make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2")
    for name in ("flags.cfg", "data.json", "metrics.jsonl"):
        (b.directory / name).write_bytes(b"\xff")
    assert "flags.cfg is not text" in diff(a, b)


def test_the_users_tool_gets_the_pairs_that_differ(tmp_path):
    a, b = make_run(tmp_path, "demo/1"), make_run(tmp_path, "demo/2", learning_rate=0.05)
    (b.directory / "net" / "resnet.py").write_text("")
    (b.directory / "net" / "_builder.py").unlink()
    tool = tmp_path / "tool.py"
    tool.write_text(
        f"import sys; open({str(tmp_path / 'called')!r}, 'a').write(repr(sys.argv[1:]) + '\\n')"
    )
    records = [read_record(run.directory) for run in (a, b)]
    assert run_tool(*records, f"{sys.executable} '{tool}' -x") == 3
    names = ("flags.cfg", "net/_builder.py", "net/resnet.py")
    expected = [["-x", *(str(run.directory / name) for run in (a, b))] for name in names]
    expected[1][2] = "/dev/null"
    assert [eval(line) for line in (tmp_path / "called").read_text().splitlines()] == expected
    assert run_tool(records[0], records[0], "false") == 0
    for tool in ("no-such-tool", "unclosed '"):
        with pytest.raises(UserError, match="--tool"):
            run_tool(*records, tool)
