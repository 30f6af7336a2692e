"""One grammar of --classes, for the job that builds a data set and for what reads one."""

import pytest

from base.chosen_classes import chosen_classes
from base.errors import UserError

KNOWN = ("n01", "n02", "n03", "great white shark")


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("", None),
        ("2", (0, 1)),
        ("4", (0, 1, 2, 3)),
        ("n03", (2,)),
        ("n03,n01", (0, 2)),
        (" n03 , n01,n03,", (0, 2)),
        ("great white shark,n02", (1, 3)),
    ],
)
def test_names_and_numbers(written, labels):
    assert chosen_classes(written, KNOWN, "it") == labels


@pytest.mark.parametrize(
    "content",
    ["n03\nn01\n", "\ufeffn03\r\nn01\r\n\r\n", "n03 n01", "n03,n01\n", "\tn03\n\n  n01"],
)
def test_a_file(tmp_path, monkeypatch, content):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "some.txt").write_bytes(content.encode())
    assert chosen_classes(f"{tmp_path}/some.txt", KNOWN, "it") == (0, 2)
    assert chosen_classes("~/some.txt", KNOWN, "it") == (0, 2)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("0", "--classes=0: it has 4 classes"),
        ("5", "--classes=5: it has 4 classes"),
        ("n01,n09", "--classes: it has no class n09, and no file of that name: its classes are"),
        ("gone.txt", "it has no class gone.txt, and no file"),
        (",", "--classes=, names no class: name some, such as n01"),
        (",".join(f"n{i:08d}" for i in range(999)), "it has no class n00000000"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(written, says):
    with pytest.raises(UserError) as info:
        chosen_classes(written, KNOWN, "it")
    assert says in str(info.value) and "\n" not in str(info.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "empty.txt").touch()
    (tmp_path / "wrong.txt").write_text("n01\nn09\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    for name, says in (
        ("empty.txt", "empty.txt names no class"),
        ("wrong.txt", "no class n09, which .*wrong.txt names"),
        ("picture.png", "picture.png is no text"),
    ):
        with pytest.raises(UserError, match=says):
            chosen_classes(f"{tmp_path}/{name}", KNOWN, "it")
