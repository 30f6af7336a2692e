"""Builds a data set directory of TFRecord shards from a source of ILSVRC images.

    python data_prep/build_tfrecords.py --source=/path/to/the/tars --data_dir=data

The same command continues an interrupted job. Without --source it takes the embedded sample,
which is generated.
"""

from base import commandline
from base.tensorflow_start import start_tensorflow
from data_prep import schema
from data_prep.config import BuildConfig


def main() -> None:
    """Builds what the flags describe."""
    config = commandline.config_from_flags(BuildConfig)
    from data_prep.job import cluster
    from data_prep.layouts import listing

    each = cluster.each_file(config.dask_scheduler) if config.engine == "dask" else map
    source = listing.open_or_generate(config.where, config.splits, config.data_dir, _say, each)
    start_tensorflow()  # which takes seconds: a mistake in the source shows before
    from data_prep.job import build

    directory = build.build(config, source, _say)
    for line in build.next_lines(directory, schema.Manifest.load(directory)):
        _say(line)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    commandline.run(main, configs=[BuildConfig], tensorflow=False)
