"""Measures the listing of a source of ILSVRC's full size, made anew and from what was kept.

    python benchmarks/full_listing.py --work=/some/disk

It makes the official tars of 1,281,167 and 50,000 images, in 1000 class tars with as many members
as the classes have, all of them the same small JPEG (about 4 GB, in a minute or two), with the
classes and numbers that the workspace knows. Then each step runs in a process of its own: listing,
listing again, and planning the shards; for each the seconds of processor and clock, and the most
memory. The devkit's ground truth is made up: number n is of class n mod 1000.
"""

import dataclasses
import io
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator

import simplejpeg

from base import commandline
from base.commandline import flag
from data_prep import schema
from data_prep.source import sample, synsets
from data_prep.source.official import DEVKIT, TRAIN_TAR, VALIDATION_TAR

_STEP = """
import resource, sys, time
from data_prep.layouts import listing
if sys.argv[3] == "plan":
    from data_prep.job import checks, plan  # and with it TensorFlow
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began, cpu = time.perf_counter(), time.process_time()
source = listing.opened(sys.argv[1], "auto", ("train", "validation"), (), sys.argv[2])
said = f"{len(source.refs):,} images"
if sys.argv[3] == "plan":
    found = [finding.text for finding in checks.contents(source)]
    splits = plan.shuffled(source.refs, seed=0)
    tasks = plan.shard_tasks(splits["train"], 293)
    said += f", {len(tasks)} shards, {len(found)} findings"
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{said}: {time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} s of "
      f"processor, {peak:.0f} MB at most, {before:.0f} of them before")
"""


@dataclasses.dataclass(frozen=True)
class FullListingConfig:
    """The flags of full_listing.py."""

    work: str = flag("", "folder that is made for all this; empty: a temporary one")
    keep: bool = flag(False, "leave the folder, and take what is there already")


def main() -> None:
    """Prints the figures."""
    config = commandline.config_from_flags(FullListingConfig)
    folder = pathlib.Path(config.work or tempfile.mkdtemp(prefix="full_listing")).resolve()
    try:
        source = folder / "source"
        if not source.is_dir():
            make(source, synsets.ilsvrc2012(), schema.ILSVRC2012_IMAGES[schema.VALIDATION])
        size = sum(path.stat().st_size for path in source.iterdir())
        print(f"official tars of {size / 1e9:.1f} GB, an image of {len(picture())} bytes each")
        shutil.rmtree(folder / "data", ignore_errors=True)
        for title, step in (("listing", "list"), ("again", "list"), ("again, planned", "plan")):
            command = [sys.executable, "-c", _STEP, str(source), str(folder / "data"), step]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            print(f"{title:16}{said.splitlines()[-1]}", flush=True)
    finally:
        if not config.keep:
            shutil.rmtree(folder, ignore_errors=True)


def picture() -> bytes:
    """The one image: 64 pixels of one gray."""
    import numpy as np

    return simplejpeg.encode_jpeg(np.full((8, 8, 3), 128, np.uint8), quality=50)


def make(source: pathlib.Path, classes: synsets.Classes, validation: int) -> None:
    """Writes the official files of some classes, with so many validation images."""
    source.mkdir(parents=True)
    assert classes.train_images is not None
    image = picture()
    truth = [number % len(classes.wnids) for number in range(1, validation + 1)]
    per_class = classes.train_images[0]
    devkit = sample.devkit_archive(classes.wnids, classes.words, truth, per_class)
    (source / f"{DEVKIT}.tar.gz").write_bytes(devkit)
    with tarfile.open(source / TRAIN_TAR, "w") as outer:
        for wnid, count in zip(classes.wnids, classes.train_images, strict=True):
            content = _tar((f"{wnid}_{number}.JPEG" for number in range(count)), image)
            member = tarfile.TarInfo(f"{wnid}.tar")
            member.size = len(content)
            outer.addfile(member, io.BytesIO(content))
    names = (f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, validation + 1))
    (source / VALIDATION_TAR).write_bytes(_tar(names, image))


def _tar(names: Iterator[str], image: bytes) -> bytes:
    """A tar of files with one content; Python's own writer would take five times as long."""
    padded = image + bytes(-len(image) % tarfile.BLOCKSIZE)
    parts = []
    for name in names:
        member = tarfile.TarInfo(name)
        member.size = len(image)
        parts += [member.tobuf(tarfile.USTAR_FORMAT), padded]
    end = bytes(2 * tarfile.BLOCKSIZE)
    content = b"".join([*parts, end])
    return content + bytes(-len(content) % tarfile.RECORDSIZE)


if __name__ == "__main__":
    commandline.run(main, configs=[FullListingConfig], tensorflow=False)
