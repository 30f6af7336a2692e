"""Checks a source of ILSVRC images in minutes, before hours of work go into it.

    python data_prep/check_source.py --source=/path/to/the/tars --data_dir=data

It looks at the layout, the classes and the images of each, the validation set, the headers of some
images (all of them with --deep), the official files' sizes (MD5 with --md5), the free disk, and
estimates how long the job will take. The exit code is 1 where something is broken; a source that
is merely a part of ILSVRC can be used.
"""

import dataclasses
import pathlib
import shlex
import sys

from base import commandline
from base.commandline import flag
from base.tensorflow_start import start_tensorflow
from data_prep.config import BuildConfig

_HEADERS = 2000


@dataclasses.dataclass(frozen=True)
class CheckConfig:
    """The flags of check_source.py: those of the job that it is for, and how thorough to be."""

    job: BuildConfig = dataclasses.field(default_factory=BuildConfig)
    deep: bool = flag(False, f"read the header of every image, not of {_HEADERS} only")
    md5: bool = flag(False, "compare the MD5 of the official files (reads them whole)")


def main() -> int:
    """Prints what is found; the exit code says whether it can be used."""
    config = commandline.config_from_flags(CheckConfig)
    from etils import epath

    from data_prep.layouts import listing

    where = config.job.where
    source = listing.open_or_generate(where, config.job.splits, config.job.data_dir, print)
    start_tensorflow()  # which takes seconds: a mistake in the source shows before
    from data_prep.job import checks
    from data_prep.progress import Progress, duration

    broken = 0

    def report(finding: checks.Finding) -> None:
        nonlocal broken
        broken += finding.level == checks.BROKEN
        print(f"{finding.level}: {finding.text}", flush=True)

    for finding in checks.contents(source):
        report(finding)
    if source.layout == "tars" and not source.generated:
        for finding in checks.official_files(pathlib.Path(source.path), config.md5):
            report(finding)
    refs = source.refs if config.deep else checks.sample_of(source, _HEADERS)
    progress = Progress(len(refs), label="reading headers")
    for finding in checks.headers(refs, progress.add):
        report(finding)
    progress.close()
    settings = config.job.image_settings()
    measured = checks.measure(checks.sample_of(source, 64), settings)
    need = len(source.refs) * measured.record_bytes
    report(checks.space(epath.Path(config.job.data_dir), need))
    seconds = len(source.refs) * measured.seconds / config.job.threads
    print(
        f"building it takes about {duration(seconds)} on {config.job.threads} cores, "
        f"if the disk reads {len(source.refs) / max(seconds, 1e-9):,.0f} images a second"
    )
    if broken:
        return 1
    flags = [each for each in sys.argv[1:] if each not in ("--deep", "--md5")]
    print(f"next: {shlex.join(('python', 'data_prep/build_tfrecords.py', *flags))}")
    return 0


if __name__ == "__main__":
    commandline.run(main, configs=[CheckConfig], tensorflow=False)
