"""Builds a data set directory of TFRecord shards from a source of ILSVRC images.

    python data_prep/build_tfrecords.py --source=/path/to/the/tars --data_dir=data

The same command continues an interrupted job. Without --source it takes the embedded sample,
which is generated.
"""

import os

# One thread of BLAS for each of ours; it is read when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from data_prep import commandline
from data_prep.config import BuildConfig


def main() -> None:
    """Builds what the flags describe."""
    config = commandline.config_from_flags(BuildConfig)
    from data_prep import job

    job.build(config, say=lambda line: print(line, flush=True))


if __name__ == "__main__":
    commandline.run(main, configs=[BuildConfig])
