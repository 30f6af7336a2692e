"""Verifies a finished data set, and rebuilds its bad shards from the source.

    python data_prep/verify_tfrecords.py --data_dir=data
    python data_prep/verify_tfrecords.py --data_dir=data --repair --source=/path/to/the/tars

Of every shard: its size and SHA-256 against the manifest, the CRC of each record, that each image
decodes to its stored size, that each label is one of the classes. Of the whole: that the manifest,
the statistics and TensorFlow Datasets' metadata agree. The exit code is 0 only where all is well.
"""

import dataclasses

from base import commandline
from base.commandline import Settings, flag
from base.errors import UserError
from base.parallel import usable_cores
from base.tensorflow_start import start_tensorflow
from data_prep.config import SourceConfig


@dataclasses.dataclass(frozen=True)
class VerifyConfig(Settings):
    """The flags of verify_tfrecords.py."""

    where: SourceConfig = dataclasses.field(default_factory=SourceConfig)
    data_dir: str = flag("data", "the data set directory, or a parent that holds exactly one")
    repair: bool = flag(False, "rebuild the bad shards, from --source")
    workers: int = flag(0, "threads; 0: one per core", within="[0, 4096]")


def main() -> int:
    """Prints every fault; the exit code says whether there are any left."""
    config = commandline.config_from_flags(VerifyConfig)
    from data_prep import schema

    directory = schema.find_dataset(config.data_dir)
    manifest = schema.Manifest.load(directory)
    start_tensorflow()  # which takes seconds: a missing data set shows before
    from data_prep.job import build, repair, verification
    from data_prep.progress import Progress

    workers = config.workers or usable_cores()
    total = sum(manifest.num_records(split) for split in schema.SPLITS)
    progress = Progress(total, label="verifying")
    faults = verification.faults(directory, manifest, workers, progress.add)
    progress.close()
    for fault in faults:
        print(f"{fault.file}: {fault.text}", flush=True)
    if faults and config.repair:
        repair.repair(config.where, directory, faults, workers, print)
        manifest = schema.Manifest.load(directory)
        faults = verification.faults(directory, manifest, workers)
        for fault in faults:
            print(f"{fault.file}: {fault.text}", flush=True)
    if faults:
        files = len({fault.file for fault in faults})
        again = "" if config.repair else ": --repair with --source rebuilds them"
        raise UserError(f"{directory}: {len(faults)} fault(s) in {files} file(s){again}")
    print(f"clean: {directory}: {total:,} records")
    print("\n".join(build.next_lines(directory, manifest)))
    return 0


if __name__ == "__main__":
    commandline.run(main, configs=[VerifyConfig], tensorflow=False)
