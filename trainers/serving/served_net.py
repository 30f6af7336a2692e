"""What an exported net is: a TensorFlow module with the preprocessing inside, and its metadata.

A SavedModel takes photographs as they are, of any size: as uint8 RGB pixels or as JPEG files. It
resizes as the data set was resized, but does not compress again, as data_prep does: on the data
set's own stored images, which need neither, it gives the run's logits. TFLite and ONNX files take
crops of the net's size, because neither format has the antialiased resizing; what is to be done
before is in their metadata.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from data_prep import schema
from pipelines.chain import host_chain
from pipelines.functions.decoders import DecodedImage, JpegDecoder
from trainers.serving.classifier import Classifier

METADATA_FILE = "metadata.json"


def metadata(classifier: Classifier, run_name: str) -> dict[str, Any]:
    """What an exported net's user has to know: classes, their order's hash, the preprocessing."""
    config, dataset = classifier.config, classifier.dataset
    height, width = classifier.image_size
    return {
        "net": config.net,
        "run": run_name,
        "label_order": dataset.label_order,
        "wnids": list(dataset.wnids),
        "words": list(dataset.words),
        "crop": {"height": height, "width": width, "channels": "RGB", "dtype": "uint8"},
        "before_the_crop": {
            "stored_as": dataclasses.asdict(classifier.settings),
            "eval_map": config.pipeline.eval_map,
        },
        "inside": config.pipeline.eval_device_map,
        "precision": config.precision,
        "logits": "float32 [batch, classes]",
    }


class ServedNet(tf.Module):
    """The net as a SavedModel: uint8 RGB images of any size, or JPEG files, to logits."""

    def __init__(self, classifier: Classifier):
        super().__init__(name="served_net")
        self.model = classifier.model
        self._classifier = classifier
        pipeline, given = classifier.config.pipeline, classifier.dataset.given()
        self._host = host_chain(
            pipeline.eval_map, "eval_map", **given | {"decoder": DecodedImage()}
        )

    def signatures(self) -> dict[str, Any]:
        """`serving_default` takes `image`, uint8 [b, h, w, 3]; `jpeg` takes `jpeg`, string [b]."""
        pixels = tf.function(
            self._from_pixels,
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")],
            autograph=False,
        )
        files = tf.function(
            self._from_jpeg,
            input_signature=[tf.TensorSpec([None], tf.string, name="jpeg")],
            autograph=False,
        )
        return {"serving_default": pixels, "jpeg": files}

    def _from_pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._outputs(image, lambda each: each)

    def _from_jpeg(self, jpeg: tf.Tensor) -> dict[str, tf.Tensor]:
        decoder = JpegDecoder(self._classifier.config.pipeline.decoding)
        return self._outputs(jpeg, lambda each: decoder.decode({"image": each}))

    def _outputs(
        self, inputs: tf.Tensor, decode: Callable[[tf.Tensor], tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        height, width = self._classifier.image_size
        crops = tf.map_fn(
            lambda each: self._crop(decode(each)),
            inputs,
            fn_output_signature=tf.TensorSpec([height, width, 3], tf.uint8),
        )
        logits = self._classifier.logits_of(crops)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def _crop(self, image: tf.Tensor) -> tf.Tensor:
        """One image as stored, and then as the run's evaluation crops it."""
        stored = as_stored(image, self._classifier.settings)
        height, width = tf.unstack(tf.shape(stored)[:2])
        example = {"image": stored, "height": height, "width": width, "label": tf.constant(0)}
        return self._host.apply(example, self._host.draw(example, tf.constant([0, 0])))["image"]


def net_on_crops(classifier: Classifier) -> tf.types.experimental.ConcreteFunction:
    """The net from crops `image`, uint8 [b, height, width, 3], to `logits`."""
    spec = tf.TensorSpec([None, *classifier.image_size, 3], tf.uint8, name="image")
    function = tf.function(
        lambda image: {"logits": classifier.logits_of(image)},
        input_signature=[spec],
        autograph=False,
    )
    return function.get_concrete_function()


def as_stored(image: tf.Tensor, settings: schema.ImageSettings) -> tf.Tensor:
    """uint8 [h, w, 3] in a data set's geometry, as `image.conversion` resizes, within a level.

    An image that has its size already is left as it is.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    size, sides = settings.size, (height, width)
    if settings.geometry == "none":
        return image
    if settings.geometry == "warp":
        wanted = (tf.constant(size), tf.constant(size))
    else:
        longest = settings.geometry == "longest_side"
        reference = tf.maximum(height, width) if longest else tf.minimum(height, width)
        size = tf.minimum(size, reference) if longest else tf.constant(size)
        # Rounded half up, as there.
        wanted = tuple((2 * side * size + reference) // (2 * reference) for side in sides)
    stored = _along(_along(image, wanted[0], axis=0), wanted[1], axis=1)
    if settings.geometry == "square_crop":
        top, left = (wanted[0] - settings.size) // 2, (wanted[1] - settings.size) // 2
        stored = tf.image.crop_to_bounding_box(stored, top, left, settings.size, settings.size)
    return stored


def _along(image: tf.Tensor, size: tf.Tensor, axis: int) -> tf.Tensor:
    """Resamples one axis as `image.resample`: area average to shrink, bicubic to enlarge."""
    shape = tf.shape(image)
    sides = tf.stack([size, shape[1]] if axis == 0 else [shape[0], size])

    def by(method: str) -> tf.Tensor:
        return tf.image.resize(image, sides, method=method)

    levels = tf.cond(size < shape[axis], lambda: by("area"), lambda: by("bicubic"))
    resampled = tf.cast(tf.round(tf.clip_by_value(levels, 0.0, 255.0)), tf.uint8)
    return tf.cond(size == shape[axis], lambda: image, lambda: resampled)
