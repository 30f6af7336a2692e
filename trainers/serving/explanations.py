"""Which parts of an image a prediction depends on: by gradients, class maps, and covering parts.

- `gradcam`: Selvaraju et al. 2017 (arXiv:1610.02391), section 3: feature maps, weighted by the mean
  gradient of the class's logit with respect to each.
- `cam`: Zhou et al. 2016 (arXiv:1512.04150), section 2: feature maps, weighted as the linear layer
  behind their global average weights them.
- `occlusion`: Zeiler & Fergus 2014 (arXiv:1311.2901), section 4.2: how far the class's probability
  falls as a gray square covers a part of the image.
- `gradient`: Simonyan et al. 2014 (arXiv:1312.6034), section 3: the largest magnitude over the
  channels of the logit's gradient with respect to the pixels.
"""

import dataclasses
import itertools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from trainers.serving import net_layers
from trainers.serving.classifier import Classifier
from trainers.serving.config import CAM, GRADCAM, OCCLUSION
from trainers.serving.net_layers import ClassMaps, FeatureMaps

# The gray square's side as a part of the image's shorter side, and its steps as a part of its own:
# the paper states neither.
_SQUARE, _STEP = 0.2, 0.25
GRAY = 128
_BATCH = 32


# From one image, uint8 [height, width, 3], and a class to a map [rows, columns] of any size.
_Method = Callable[[np.ndarray, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Explainer:
    """One method, made ready for a net.

    Attributes:
        title: the method's name, with what it looks at.
    """

    title: str
    of_one: _Method

    def heat(self, crop: np.ndarray, label: int) -> np.ndarray:
        """Which parts of an image speak for a class.

        Args:
            crop: uint8 [height, width, 3].
            label: the class.

        Returns:
            float32 [height, width], from 0 to 1; all 0 where nothing speaks for it.
        """
        kept = np.maximum(np.nan_to_num(self.of_one(crop, label)), 0)
        size = crop.shape[:2]
        large = tf.image.resize(kept[..., np.newaxis], size, method="bilinear")[..., 0].numpy()
        return (large / max(large.max(), 1e-12)).astype(np.float32)


def explainer(classifier: Classifier, method: str, layer: str = "") -> Explainer:
    """Makes a method ready.

    Args:
        classifier: the run.
        method: one of config.EXPLANATIONS.
        layer: of which Grad-CAM takes the feature maps; empty: `net_layers.last_feature_maps`.

    Raises:
        UserError: the net has no such layer, or does not end as the method wants.
    """
    model = classifier.model
    if method == GRADCAM:
        chosen = net_layers.chosen_maps(model, layer, "--explain_layer")
        return Explainer(f"Grad-CAM, {chosen.layer.name}", _gradcam(classifier, chosen))
    if method == CAM:
        return Explainer("CAM", _cam(classifier, net_layers.class_maps(model)))
    return Explainer(method, (_occlusion if method == OCCLUSION else _gradient)(classifier))


def _gradcam(classifier: Classifier, maps: FeatureMaps) -> _Method:
    outputs = [maps.layer.output, classifier.model.output]
    model = keras.Model(classifier.model.input, outputs)

    def of_one(crop: np.ndarray, label: int) -> np.ndarray:
        image = classifier.normalized(tf.constant(crop[np.newaxis]))
        with tf.GradientTape() as tape:
            tape.watch(image)
            features, logits = model(image, training=False)
            logit = logits[0, label]
        gradient = tape.gradient(logit, features)
        weights = maps.fold(gradient.numpy()).mean(axis=(0, 1, 2))  # equation 1
        return maps.fold(features.numpy())[0] @ weights  # equation 2, less its ReLU

    return of_one


def _cam(classifier: Classifier, ending: ClassMaps) -> _Method:
    maps = ending.maps
    model = keras.Model(classifier.model.input, maps.layer.output)

    def of_one(crop: np.ndarray, label: int) -> np.ndarray:
        image = classifier.normalized(tf.constant(crop[np.newaxis]))
        features = maps.fold(model(image, training=False).numpy())[0]
        if ending.linear is None:
            return features[..., label]
        kernel = np.asarray(ending.linear.kernel, np.float32)
        return features @ kernel.reshape(-1, kernel.shape[-1])[:, label]  # equation 2

    return of_one


def _gradient(classifier: Classifier) -> _Method:
    def of_one(crop: np.ndarray, label: int) -> np.ndarray:
        image = classifier.normalized(tf.constant(crop[np.newaxis]))
        with tf.GradientTape() as tape:
            tape.watch(image)
            logit = classifier.model(image, training=False)[0, label]
        gradient = np.abs(tape.gradient(logit, image)[0].numpy()).max(axis=-1)
        # A few pixels are far above all others.
        return np.minimum(gradient, np.percentile(gradient, 99))

    return of_one


def _occlusion(classifier: Classifier) -> _Method:
    def of_one(crop: np.ndarray, label: int) -> np.ndarray:
        covered = cover(classifier, crop)
        whole = softmax(classifier.logits(crop[np.newaxis])[0])[label]
        falls = whole - covered.probabilities[..., label]
        total, times = np.zeros(crop.shape[:2]), np.zeros(crop.shape[:2])
        for row, top in enumerate(covered.tops):
            for column, left in enumerate(covered.lefts):
                part = np.s_[top : top + covered.side, left : left + covered.side]
                total[part] += falls[row, column]
                times[part] += 1
        return total / times

    return of_one


@dataclasses.dataclass(frozen=True)
class Covered:
    """An image with a gray square on it, at each of its places.

    Attributes:
        tops, lefts: where the square begins, in pixels; the last ones end at the image's border.
        side: the square's, in pixels.
        probabilities: float32 [rows, columns, N], what the net says then.
    """

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    side: int
    probabilities: np.ndarray


def cover(classifier: Classifier, crop: np.ndarray) -> Covered:
    """Slides a gray square over an image uint8 [height, width, 3]."""
    height, width = crop.shape[:2]
    side = max(1, round(_SQUARE * min(height, width)))
    step = max(1, round(_STEP * side))
    tops, lefts = ((*range(0, length - side, step), length - side) for length in (height, width))
    images = np.tile(crop, (len(tops) * len(lefts), 1, 1, 1))
    for image, (top, left) in zip(images, itertools.product(tops, lefts), strict=True):
        image[top : top + side, left : left + side] = GRAY
    parts = range(0, len(images), _BATCH)
    rows = [softmax(classifier.logits(images[start : start + _BATCH]), axis=-1) for start in parts]
    found = np.concatenate(rows)
    return Covered(tops, lefts, side, found.reshape(len(tops), len(lefts), -1))
