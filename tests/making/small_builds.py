"""Builds small data sets from small sources, and reads them back."""

import pathlib

import tensorflow as tf

from data_prep.config import BuildConfig, SourceConfig
from data_prep.job import build
from data_prep.layouts import opening


def config(source: pathlib.Path, data_dir: pathlib.Path, **flags) -> BuildConfig:
    small = {"size": 32, "train_shards": 3, "val_shards": 2, "workers": 2, "max_rejected": 0.5}
    where = SourceConfig(source=str(source), layout="auto")
    return BuildConfig(where=where, data_dir=str(data_dir), **(small | flags))


def built(source: pathlib.Path, data_dir: pathlib.Path, **flags) -> pathlib.Path:
    return pathlib.Path(
        build.build(config(source, data_dir, **flags), opening.open_source(str(source)), print)
    )


def records(directory: pathlib.Path) -> list[dict]:
    """Every record of a data set, read by TensorFlow alone."""
    found = []
    for path in sorted(directory.glob("*.tfrecord-*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            found.append(
                {
                    "split": path.name.split("-")[1].split(".")[0],
                    "shard": path.name,
                    "name": feature["file_name"].bytes_list.value[0].decode(),
                    "image": feature["image"].bytes_list.value[0],
                    **{
                        key: feature[key].int64_list.value[0]
                        for key in ("label", "height", "width")
                    },
                }
            )
    return found


def files(directory: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


class Killed(BaseException):
    pass
