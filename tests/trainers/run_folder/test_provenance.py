"""What a run records of the versions that it had."""

import hashlib
from importlib import metadata

from tests.conftest import ROOT
from trainers.run_folder.provenance import describe_constraints


def test_other_versions_than_the_pinned_are_named(tmp_path):
    numpy, scipy = metadata.version("numpy"), metadata.version("scipy")
    path = tmp_path / "constraints.txt"
    path.write_text(f"# a comment\nnumpy=={numpy}\nscipy==0.1  # old\n\nno-such-package==2\n")
    found = describe_constraints(path)
    assert found is not None
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.differing == {
        "scipy": f"{scipy} instead of 0.1",
        "no-such-package": "none instead of 2",
    }
    assert describe_constraints(tmp_path / "missing") is None


def test_the_pins_name_what_computes_draws_and_decodes():
    found = describe_constraints(ROOT / "constraints.txt")
    pinned = (ROOT / "constraints.txt").read_text()
    assert found is not None
    for name in ("tensorflow", "keras", "numpy", "scipy", "pillow", "simplejpeg", "numba"):
        assert f"\n{name}==" in pinned
