"""Files from outside take their place in the registries, and what is wrong with one is one line."""

import pathlib
import textwrap

import pytest

from base import plugins
from base.errors import UserError
from base.spec import Registry

THINGS = Registry("thing")
HEAD = "from tests.base.test_plugins import THINGS\n"


@THINGS.register
def ours() -> int:
    return 0


@pytest.fixture(autouse=True)
def _no_plugin_left(monkeypatch):
    for name in ("_loaded", "_active"):
        monkeypatch.setattr(plugins, name, {})
    monkeypatch.setattr(THINGS, "_factories", {"ours": ours})


def write(path: pathlib.Path, body: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + textwrap.dedent(body))
    return str(path)


def returning(value: int, name: str = "mine") -> str:
    return f"""
        @THINGS.register
        def {name}():
            return {value}
        """


def test_a_plugin_is_executed_once_for_each_content(tmp_path):
    path = write(tmp_path / "my plug-in.py", returning(1) + "\n        NETS = ('a net',)\n")
    (first,) = plugins.load([path])
    assert plugins.load([path]) == [first]
    assert THINGS.make("mine()") == 1 and first.nets == ("a net",)
    copy = write(
        tmp_path / "copy" / "my plug-in.py", returning(1) + "\n        NETS = ('a net',)\n"
    )
    assert plugins.load([copy]) == [first], "wherever it lies"
    assert not list(tmp_path.rglob("__pycache__"))


def test_another_version_replaces_what_the_first_had_and_back(tmp_path):
    old = write(tmp_path / "old" / "mine.py", returning(1) + returning(1, "dropped"))
    new = write(tmp_path / "new" / "mine.py", returning(2))
    plugins.load([old])
    plugins.load([new])
    assert THINGS.make("mine()") == 2 and THINGS.names() == ["mine", "ours"]
    plugins.load([old])
    assert THINGS.make("mine()") == 1 and THINGS.names() == ["dropped", "mine", "ours"]


def test_a_version_that_fails_leaves_the_one_before(tmp_path):
    plugins.load([write(tmp_path / "mine.py", returning(1))])
    broken = write(tmp_path / "mine.py", returning(2) + "\n        1 / 0\n")
    with pytest.raises(UserError, match=r"mine.py, line \d+: ZeroDivisionError: division by zero"):
        plugins.load([broken])
    assert THINGS.make("mine()") == 1


def test_a_package_may_import_its_own_files(tmp_path):
    write(tmp_path / "pack" / "__init__.py", "from . import part\nfrom .part import mine\n")
    write(tmp_path / "pack" / "part.py", returning(3))
    (plugin,) = plugins.load([str(tmp_path / "pack")])
    assert THINGS.make("mine()") == 3
    assert [str(file) for file in plugins.files(plugin.path)] == [
        "pack/__init__.py",
        "pack/part.py",
    ]
    write(tmp_path / "pack" / "part.py", returning(4))
    plugins.load([str(tmp_path / "pack")])
    assert THINGS.make("mine()") == 4


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            returning(1, "ours"),
            r"mine.py, line 3: there is a thing ours already: take another name",
        ),
        ("x = (", r"mine.py, line 2: SyntaxError: '\(' was never closed"),
        ("raise SystemExit('two\\nlines')", r"mine.py, line 2: SystemExit: two lines"),
        ("import no_such_module", r"mine.py, line 2: ModuleNotFoundError: No module named"),
        ("def f():\n    return {}['a']\nf()", r"mine.py, line 3: KeyError: 'a'"),
    ],
)
def test_what_a_plugin_raises_is_one_line_with_its_place(tmp_path, body, says):
    with pytest.raises(UserError, match=says) as info:
        plugins.load([write(tmp_path / "mine.py", body)])
    assert "\n" not in str(info.value) and str(tmp_path) in str(info.value)
    assert THINGS.names() == ["ours"]


def test_two_plugins_do_not_take_each_others_names(tmp_path):
    first, second = (write(tmp_path / f"{name}.py", returning(1)) for name in ("a", "b"))
    with pytest.raises(UserError, match=r"b.py, line 3: there is a thing mine already"):
        plugins.load([first, second])
    twins = [first, write(tmp_path / "other" / "a.py", "")]
    with pytest.raises(UserError, match=r"two plugins are named a.py"):
        plugins.load(twins)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.py", "there is no such file"),
        ("text.txt", "is no Python file"),
        ("folder", r"is no package: it has no __init__.py"),
    ],
)
def test_what_is_no_plugin_is_refused(tmp_path, name, says):
    (tmp_path / "text.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=f"--plugins=.*{name}:? {says}"):
        plugins.load([str(tmp_path / name)])


def test_a_link_is_known_by_its_own_name(tmp_path):
    write(tmp_path / "target.py", returning(1))
    (tmp_path / "link.py").symlink_to("target.py")
    (plugin,) = plugins.load([str(tmp_path / "link.py")])
    assert plugin.name == "link.py" == str(plugins.files(plugin.path)[0])


def test_nets_that_are_no_tuple_are_refused(tmp_path):
    (plugin,) = plugins.load([write(tmp_path / "mine.py", "NETS = 5")])
    with pytest.raises(UserError, match=r"mine.py: NETS is no tuple: NETS = \(Net\(...\),\)"):
        plugin.nets  # noqa: B018


def test_the_workspaces_own_files_register_a_name_once():
    with pytest.raises(ValueError, match="the thing ours is registered twice"):
        THINGS.register(ours)


def test_flags_beside_copies_mean_the_copies(tmp_path):
    write(tmp_path / "plugins" / "mine.py", "")
    value = f"elsewhere/mine.py, {tmp_path}/other.py"
    kept = plugins.beside(tmp_path / "flags.cfg", value)
    assert kept == f"{tmp_path}/plugins/mine.py,{tmp_path}/other.py"
