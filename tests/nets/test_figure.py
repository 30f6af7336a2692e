"""The picture of all nets: what is in it, and that it is drawn."""

import sys

import pytest
from PIL import Image

import nets
from nets import __main__ as command
from nets._figure import center_crop_error


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("alexnet", 42.9),
        ("vgg16", 28.5),
        ("inception_v3", 22.0),
        ("zfnet", None),
        ("googlenet", 31.3),
    ],
)
def test_what_is_drawn_of_a_net_is_its_centre_crop_s_error(name, error):
    assert center_crop_error(nets.entry(name)) == error


def test_the_command_draws_all_nets(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["nets", f"--figure={tmp_path}/line.png"])
    assert command.main() == 0
    assert Image.open(tmp_path / "line.png").size == (1100, 1600)
    monkeypatch.setattr(sys, "argv", ["nets", f"--figure={tmp_path}"])
    assert command.main() == 1
    assert "error:" in capsys.readouterr().err
