"""Damaged flag files and calls in flags are read, or refused in one line."""

import pytest

from base.errors import UserError
from base.spec import parse_chain
from tests.conftest import ROOT
from trainers.config import read_flag_file

CHAINS = {
    "train_map": b"decode_random_crop(224, area=(0.08, 1.0))|random_flip|color_jitter",
    "net": b"resnet10(width=16, stem='small', options={'a': [1, -2.5]})",
}


def test_a_flag_file(fuzz, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "flags.cfg"

    def read(damaged: bytes) -> None:
        path.write_bytes(damaged)
        read_flag_file(path)

    fuzz((ROOT / "flags" / "tiny" / "resnet18_narrow.cfg").read_bytes(), read, UserError, text=True)


@pytest.mark.parametrize("flag", CHAINS)
def test_a_chain_of_calls(flag, fuzz):
    def read(damaged: bytes) -> None:
        for call in parse_chain(damaged.decode("utf-8", "surrogateescape")):
            str(call)

    fuzz(CHAINS[flag], read, UserError, text=True)
