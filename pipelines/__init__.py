"""The input pipeline: from TFRecord shards to batches on the devices, by tf.data.

Imports `base`, `data_prep.schema` and `data_prep.image`; `trainers` and `benchmarks` may import it.

From Python:

    import pipelines

    pipelines.show_batch("flags/alexnet.cfg", data_dir="data")  # a picture of what training sees
    batches = pipelines.load_batches("flags/alexnet.cfg", "train", data_dir="data", epochs=5)
    model.fit(batches, epochs=5, steps_per_epoch=len(batches) // 5)

Each function takes a flag file, keyword arguments with the names of flags, or both; what is not
given has the flag's default. Importing this package imports no TensorFlow, but has it started as
the commands start it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from base.tensorflow_start import start_on_import

if TYPE_CHECKING:
    import tensorflow as tf
    from PIL import Image

    from pipelines.config import PipelineConfig
    from pipelines.reading.dataset import Dataset

__all__ = ["load_batches", "open_dataset", "show_batch"]

start_on_import()


def show_batch(
    flag_file: str | os.PathLike[str] = "", *, images: int = 6, **flags: Any
) -> Image.Image:
    """The contact sheet of `preview.py`: what a training begins with, after each map function.

    Args:
        flag_file: an experiment's flags.
        images: how many, one a row; an even number, because some chains mix pairs.
        **flags: what is otherwise than in the file, by the flags' names.

    Returns:
        A picture, which a notebook shows.

    Raises:
        UserError: a flag or the data set is of no use, or `images` is no even number above 0.
    """
    from pipelines.contact_sheet import columns_of, painted
    from pipelines.preview import PreviewConfig
    from pipelines.reading.dataset import open_dataset as opened

    config = PreviewConfig(pipeline=_config(flag_file, flags), images=images).pipeline
    return painted(columns_of(opened(config), config, images))


def open_dataset(flag_file: str | os.PathLike[str] = "", **flags: Any) -> Dataset:
    """A data set: its `words` and `wnids` in the order of labels, its `num_records("train")`.

    Args:
        flag_file: an experiment's flags.
        **flags: what is otherwise than in the file, by the flags' names: `data_dir`, `classes`.

    Raises:
        UserError: there is no such data set, or it cannot be used.
    """
    from pipelines.reading.dataset import open_dataset as opened

    return opened(_config(flag_file, flags))


def load_batches(
    flag_file: str | os.PathLike[str] = "",
    split: str = "train",
    *,
    epochs: int = 1,
    **flags: Any,
) -> tf.data.Dataset:
    """Batches `(images, labels)` of a split, for one's own Keras code.

    They are those that train.py takes with these flags, in its order and with its draws, the device
    chain included, which here runs where tf.data does. Whoever iterates over them a second time
    gets the first epoch again, so a longer training takes all of its epochs at once:

        batches = load_batches("flags/demo.cfg", "train", epochs=5, data_dir="demo/data")
        model.fit(batches, epochs=5, steps_per_epoch=len(batches) // 5)

    Args:
        flag_file: an experiment's flags.
        split: `train`: whole batches of --train_batch_size, by the chains of training, for `epochs`
            epochs. `validation`: every image once, in batches of --eval_batch_size of which the
            last may be smaller, by the chains of evaluation.
        epochs: of training.
        **flags: what is otherwise than in the file, by the flags' names.

    Returns:
        A data set of known length. Images are float32 [b, height, width, 3]; labels are int32 [b],
        or float32 [b, classes] where the chain mixes images.

    Raises:
        UserError: there is no such split, or the flags are of no use for such batches.
    """
    from pipelines import labelled_batches

    return labelled_batches.load(_config(flag_file, flags), split, epochs)


def _config(flag_file: str | os.PathLike[str], flags: dict[str, Any]) -> PipelineConfig:
    """The pipeline's flags, and the plugins loaded that they name; a file may have others too."""
    from base import flags_in_python, plugins
    from base.commandline import config_from_flags
    from pipelines.config import PipelineConfig

    given = flags_in_python.arguments(flag_file, flags)
    values = flags_in_python.parsed(PipelineConfig, given, share_flag_files=True)
    config = config_from_flags(PipelineConfig, values)
    plugins.load(config.plugins)
    return config
