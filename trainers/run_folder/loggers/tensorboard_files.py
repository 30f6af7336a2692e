"""TensorBoard's event files, in the run folder."""

from __future__ import annotations

import contextlib
import pathlib

import tensorflow as tf
from tensorflow.core.util import event_pb2

from base.files import atomic_path
from trainers.run_folder.files import Line
from trainers.run_folder.loggers.logger import Logger, Start, numbers

TENSORBOARD_DIR = "tensorboard"


class TensorBoard(Logger):
    """Writes scalars, and images of the first batch."""

    def __init__(self, directory: pathlib.Path, resumed_step: int):
        """Goes on with the files in a directory; what is in them of later steps goes."""
        _forget_events_after(resumed_step, directory)
        self._directory = directory
        self._writer = tf.summary.create_file_writer(str(directory))

    @property
    def place(self) -> str:
        """The command that shows them."""
        return f"tensorboard --logdir={self._directory}"

    def write(self, line: Line) -> None:
        """Writes a line's numbers as scalars."""
        with self._writer.as_default(step=line.step):
            for name, value in numbers(line).items():
                tf.summary.scalar(name, value)

    def show(self, images: tf.Tensor) -> None:
        """Writes images."""
        with self._writer.as_default(step=0):
            tf.summary.image("input", images, max_outputs=len(images))

    def close(self, outcome: str) -> None:
        """Closes the file."""
        self._writer.close()


def open_logger(start: Start) -> TensorBoard:
    """The logger of a run."""
    return TensorBoard(start.run.directory / TENSORBOARD_DIR, start.step)


def _forget_events_after(step: int, directory: pathlib.Path) -> None:
    """Leaves out of the files what was written after the step that a run goes on from."""
    for path in directory.glob("events.out.tfevents.*"):
        if not step:  # it begins anew, and so do its images
            path.unlink()
            continue
        kept = []
        with contextlib.suppress(tf.errors.DataLossError):  # a kill has cut off its last event
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                if event_pb2.Event.FromString(record).step <= step:
                    kept.append(record)
        unfinished = atomic_path(path, beside=directory.parent)
        with unfinished as place, tf.io.TFRecordWriter(str(place)) as writer:
            for record in kept:
                writer.write(record)
