"""A listing that is killed at any moment leaves nothing that is taken for a listing."""

import pathlib
import random
import subprocess
import sys
import time

import pytest

from benchmarks import full_listing
from data_prep.layouts import listing
from data_prep.source import synsets
from tests.conftest import ROOT
from tests.making import small_sources

KILLS, IMAGES = 20, 40_000  # which take a second or two
ASKED = ("auto", ("train", "validation"), ())
CODE = f"""
import sys
from data_prep.layouts import listing
print(len(listing.opened(sys.argv[1], *{ASKED}, sys.argv[2]).refs))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    """Official tars of three classes of small images."""
    place: pathlib.Path = tmp_path_factory.mktemp("source") / "images"
    counts = (IMAGES // 4,) * 3
    classes = synsets.Classes(small_sources.WNIDS, small_sources.WORDS, counts)
    full_listing.make(place, classes, IMAGES - sum(counts))
    return place


def begin(source: pathlib.Path, data_dir: pathlib.Path) -> subprocess.Popen:
    arguments = [sys.executable, "-c", CODE, str(source), str(data_dir)]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory) -> tuple[bytes, float]:
    """The bytes that a listing leaves, and the seconds that it takes."""
    data_dir = tmp_path_factory.mktemp("data")
    began = time.monotonic()
    assert begin(source, data_dir).communicate()[0].split() == [str(IMAGES).encode()]
    seconds = time.monotonic() - began
    (kept,) = (data_dir / listing.DIRECTORY).iterdir()
    return kept.read_bytes(), seconds


@pytest.mark.end_to_end
@pytest.mark.slow(reason="a listing of a second or two is killed twenty times")
def test_killed_at_twenty_moments_it_leaves_the_same_bytes_in_the_end(
    source, undisturbed, tmp_path
):
    expected, seconds = undisturbed
    generator = random.Random(0)
    # One in each twentieth of the time that it takes, also while what was listed is written.
    moments = [(number + generator.random()) / KILLS * seconds for number in range(KILLS)]
    kept = tmp_path / listing.DIRECTORY
    killed = 0
    for moment in moments:
        process = begin(source, tmp_path)
        time.sleep(moment)
        process.kill()  # SIGKILL
        process.communicate()
        killed += process.returncode != 0
        for file in kept.glob("*.npz"):  # whole, or not there at all
            assert file.read_bytes() == expected
            file.unlink()
    assert killed >= KILLS // 2
    assert len(listing.opened(str(source), *ASKED, str(tmp_path)).refs) == IMAGES
    (file,) = kept.glob("*.npz")
    assert file.read_bytes() == expected
    assert len(listing.opened(str(source), *ASKED, str(tmp_path)).refs) == IMAGES


def test_a_damaged_listing_is_never_used(tmp_path):
    source = small_sources.tars(tmp_path / "images")
    first = listing.opened(str(source), *ASKED, str(tmp_path))
    (kept,) = (tmp_path / listing.DIRECTORY).iterdir()
    whole = kept.read_bytes()
    generator = random.Random(0)
    for number in range(150):
        place = generator.randrange(len(whole))
        other = bytes([whole[place] ^ (1 << generator.randrange(8))])
        damaged = whole[:place] + (other + whole[place + 1 :] if number % 2 else b"")
        kept.write_bytes(damaged)
        again = listing.opened(str(source), *ASKED, str(tmp_path))
        assert again.refs == first.refs and again.classes == first.classes
        assert (again.fingerprint, again.content) == (first.fingerprint, first.content)
        # It was made again, or what is damaged is of no account: a date in the zip, say.
        assert kept.read_bytes() in (whole, damaged)
