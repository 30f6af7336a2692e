"""A trained run as a classifier of image files, with the preprocessing of its evaluation.

A file goes the way of a validation image: data_prep's own image stage makes of it what the data set
would store, by the settings that the run has recorded; then come the run's --eval_map and
--eval_device_map. So a file from the source gives the logits that its record gives, and so does the
stored image itself, which the image stage leaves as it is. The data set is not needed.
"""

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from base import typed_json
from base.errors import UserError, listed
from data_prep import schema
from data_prep.image import conversion
from pipelines.chain import compile_chains
from pipelines.config import Phase
from pipelines.functions.decoders import JpegDecoder, RawDecoder
from pipelines.reading.dataset import Dataset, open_dataset
from trainers.config import TrainConfig, TrainedConfig
from trainers.run_folder.files import FORMAT, Data
from trainers.run_folder.folder import DATA_FILE, Run
from trainers.training import models


@dataclasses.dataclass(frozen=True)
class Stored:
    """One image as a data set stores it.

    Attributes:
        encoded: a JPEG file, or raw pixels.
        pixels: uint8 [height, width, 3], what was encoded.
    """

    encoded: bytes
    pixels: np.ndarray


class UnreadableError(Exception):
    """A file that is no image, or none for this run; the message is the reason."""


class Classifier:
    """One run's net and its preprocessing.

    Attributes:
        config: the run's flags.
        dataset: the run's data set in so far as the run folder describes it: it has no records.
        settings: how the data set's images were made.
        model: from float32 images to logits.
    """

    def __init__(self, run: Run, which: TrainedConfig, precision: str = ""):
        """Opens a run, to compute in its --precision or another.

        Raises:
            UserError: it lacks a checkpoint, or a record of its data.
        """
        config = run.config()
        self.config: TrainConfig = dataclasses.replace(
            config, precision=precision or config.precision
        )
        self.dataset, self.settings = recorded_dataset(run, self.config)
        model = models.load_trained(run, self.config, self.dataset, which)
        self.model = models.logits_only(model)
        self._chains = compile_chains(self.dataset, self.config.pipeline, Phase.EVAL)
        self._size = self._chains.image_size
        self._crops = tf.function(
            self._crops_of,
            input_signature=[
                tf.TensorSpec([None], tf.string),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.int32),
            ],
            autograph=False,
        )
        self._logits = tf.function(
            self.logits_of,
            input_signature=[tf.TensorSpec([None, *self._size, 3], tf.uint8)],
            autograph=False,
        )

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the crops that the net is given, in pixels."""
        return self._size

    def label(self, wnid: str, flag: str) -> int:
        """The label of a class that a flag names. Raises UserError where the run has none such."""
        wnids = self.dataset.wnids
        if wnid not in wnids:
            near = difflib.get_close_matches(wnid, wnids, 3, 0) or wnids[:3]
            raise UserError(
                f"{flag}={wnid} is none of the run's {len(wnids)} classes, such as {listed(near)}"
            )
        return wnids.index(wnid)

    def store(self, data: bytes) -> Stored:
        """What the data set would store of an image file, whatever Pillow opens.

        Raises:
            UnreadableError: it is no image, or too small for the run's crops.
        """
        try:
            image = conversion.convert(data, self.settings)
        except conversion.RejectedError as error:
            raise UnreadableError(str(error)) from None
        height, width = image.pixels.shape[:2]
        if min(height, width) < self._chains.host.min_side:
            raise UnreadableError(
                f"{width}x{height} pixels, smaller than the crop of {self._chains.host.min_side}"
            )
        return Stored(image.encoded, image.pixels[..., :3])

    def crops(self, stored: Sequence[Stored]) -> np.ndarray:
        """What the net is given of stored images, before the device chain: uint8 [b, h, w, 3].

        Raises:
            UnreadableError: one of them cannot be decoded.
        """
        try:
            return self._crops(
                tf.constant([image.encoded for image in stored]),
                tf.constant([image.pixels.shape[0] for image in stored]),
                tf.constant([image.pixels.shape[1] for image in stored]),
            ).numpy()
        except tf.errors.InvalidArgumentError as error:
            reason = error.message.splitlines()[0]
            raise UnreadableError(f"it cannot be decoded ({reason})") from None

    def logits(self, crops: np.ndarray) -> np.ndarray:
        """Logits float32 [b, N] of crops uint8 [b, h, w, 3]."""
        return self._logits(tf.constant(crops)).numpy()

    def logits_of(self, crops: tf.Tensor) -> tf.Tensor:
        """`logits` on tensors, to be traced."""
        return self.model(self.normalized(crops), training=False)

    def normalized(self, crops: tf.Tensor) -> tf.Tensor:
        """Crops uint8 [b, h, w, 3] after the device chain: float32."""
        return self._chains.on_device({"image": crops})["image"]

    def _crops_of(self, encoded: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        label = tf.zeros_like(height)
        examples = {"image": encoded, "height": height, "width": width, "label": label}
        drawn = self._chains.host.draw(examples, tf.stack([label, label], axis=-1))
        return tf.map_fn(
            lambda single: self._chains.host.apply(*single)["image"],
            (examples, drawn),
            fn_output_signature=tf.TensorSpec([*self._size, 3], tf.uint8),
        )


def recorded_dataset(run: Run, config: TrainConfig) -> tuple[Dataset, schema.ImageSettings]:
    """The run's data set as its folder describes it, and how the set's images were made.

    It has classes, statistics and a decoder, but no records. Where the folder does not
    describe images of this workspace, the data set itself is opened.

    Raises:
        UserError: the folder does not describe the data set, and it cannot be opened.
    """
    path = run.directory / DATA_FILE
    try:
        data: Data | None = typed_json.read(path.read_bytes(), Data, FORMAT)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: it describes the run's data set") from None
    except typed_json.NewerFormatError as error:
        raise UserError(f"{path} {error}") from None
    except typed_json.FileError:
        data = None
    if data is None or data.settings is None:
        dataset = open_dataset(config.pipeline)
        manifest = dataset.manifest
        return dataset, manifest.settings if manifest else schema.ImageSettings(geometry="none")
    settings = data.settings
    statistics = None
    if (run.directory / schema.STATISTICS_FILE).exists():
        statistics = schema.Statistics.load(run.directory)
    raw = settings.encoding == "raw"
    decoder = RawDecoder() if raw else JpegDecoder(config.pipeline.decoding)
    dataset = Dataset(
        None, data.wnids, data.words, {}, decoder, has_sizes=True, statistics=statistics
    )
    return dataset, settings
