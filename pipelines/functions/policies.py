"""Map functions that choose operations at random: RandAugment, TrivialAugment, AutoAugment.

Magnitudes are tables of 31 or 10 steps, as torchvision has them; with its `fill=None`, what is
uncovered is black, and pixels are moved without interpolation.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from pipelines.functions import draws
from pipelines.functions import pillow_operations as operations
from pipelines.functions.map_function import MAP_FUNCTIONS, Draw, Drawn, Example, MapFunction, Place

_OPERATIONS: tuple[operations.Operation, ...] = (
    operations.identity,
    operations.shear_x,
    operations.shear_y,
    operations.translate_x,
    operations.translate_y,
    operations.rotate,
    operations.brightness,
    operations.color,
    operations.contrast,
    operations.sharpness,
    operations.posterize,
    operations.solarize,
    operations.auto_contrast,
    operations.equalize,
    operations.invert,
)
_NAMES = tuple(operation.__name__ for operation in _OPERATIONS)
_MOVES = ("translate_x", "translate_y")
# Those whose magnitude is taken with either sign.
_SIGNED = np.isin(
    _NAMES,
    ("shear_x", "shear_y", *_MOVES, "rotate", "brightness", "color", "contrast", "sharpness"),
)

# AutoAugment's policy for ImageNet (Cubuk et al. 2019, table 9): 25 pairs of operation,
# probability in tenths, and step of the magnitude (-: it has none).
_IMAGENET_POLICY = """
    posterize 4 8      rotate 6 9        | solarize 6 5       auto_contrast 6 -
    equalize 8 -       equalize 6 -      | posterize 6 7      posterize 6 6
    equalize 4 -       solarize 2 4      | equalize 4 -       rotate 8 8
    solarize 6 3       equalize 6 -      | posterize 8 5      equalize 10 -
    rotate 2 3         solarize 6 8      | equalize 6 -       posterize 4 6
    rotate 8 8         color 4 0         | rotate 4 9         equalize 6 -
    equalize 0 -       equalize 8 -      | invert 6 -         equalize 10 -
    color 6 4          contrast 10 8     | rotate 8 8         color 10 2
    color 8 8          solarize 8 7      | sharpness 4 7      invert 6 -
    shear_x 6 5        equalize 10 -     | color 4 0          equalize 6 -
    equalize 4 -       solarize 2 4      | solarize 6 5       auto_contrast 6 -
    invert 6 -         equalize 10 -     | color 6 4          contrast 10 8
    equalize 8 -       equalize 6 -
"""


@MAP_FUNCTIONS.register
def rand_augment(
    number: int = 2, magnitude: int = 9, deviation: float = 0.0, probability: float = 1.0
) -> MapFunction:
    """So many operations in a row, each any of 14, all of one magnitude (Cubuk et al. 2020).

    Args:
        number: of operations (the paper's N).
        magnitude: 0 to 30 (the paper's M).
        deviation: of a normal error of each operation's magnitude, in its steps; cut off at 0 and
            30 (timm's mstd, in a tenth of its 31 steps: 0.5 there is 1.5 here).
        probability: of doing each of the operations (timm: 0.5).
    """
    steps = 31
    if not 0 <= magnitude < steps:
        raise ValueError(f"a magnitude lies from 0 to {steps - 1}, not at {magnitude!r}")
    table = _magnitudes(_ranges(0.3, 150 / 331, 30, 0.9, 4), steps)
    choices = len(_OPERATIONS) - 1  # no inversion

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        chosen = draws.below(draws.uniform(seed, number, 0), tf.constant(choices))
        done = draws.uniform(seed, number, 3) < probability
        chosen = tf.where(done, chosen, _NAMES.index("identity"))
        error = tf.round(deviation * draws.normal(seed, number, 4))
        step = tf.clip_by_value(magnitude + tf.cast(error, tf.int32), 0, steps - 1)
        magnitudes = tf.gather(tf.constant(table.ravel()), chosen * steps + step)
        return _signed(chosen, magnitudes, seed)

    return _policy(draw, number, relative_moves=True)


@MAP_FUNCTIONS.register
def trivial_augment_wide() -> MapFunction:
    """One of 14 operations, of any of 31 magnitudes (Müller & Hutter 2021, the wide space)."""
    steps = 31
    table = _magnitudes(_ranges(0.99, 32, 135, 0.99, 6), steps)
    choices = len(_OPERATIONS) - 1  # no inversion

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        chosen = draws.below(draws.uniform(seed, 1, 0), tf.constant(choices))
        step = draws.below(draws.uniform(seed, 1, 1), tf.constant(steps))
        magnitudes = tf.gather(tf.constant(table.ravel()), chosen * steps + step)
        return _signed(chosen, magnitudes, seed)

    return _policy(draw, 1, relative_moves=False)


@MAP_FUNCTIONS.register
def auto_augment(policy: str = "imagenet") -> MapFunction:
    """One of 25 pairs of operations, each done with its own probability (Cubuk et al. 2019)."""
    if policy != "imagenet":
        raise ValueError(f"the only policy is 'imagenet', not {policy!r}")
    table = _magnitudes(_ranges(0.3, 150 / 331, 30, 0.9, 4), 10)
    rows = [pair.split() for line in _IMAGENET_POLICY.split("\n") for pair in line.split("|")]
    rows = [row for row in rows if row]
    chosen = np.array([[_NAMES.index(row[0]), _NAMES.index(row[3])] for row in rows], np.int32)
    chances = np.array([[int(row[1]), int(row[4])] for row in rows], np.float32) / 10
    steps = np.array([[0 if row[i] == "-" else int(row[i]) for i in (2, 5)] for row in rows])
    magnitudes = table[chosen, steps]

    def draw(example: Example, seed: tf.Tensor) -> Drawn:
        pair = draws.below(draws.uniform(seed, 1, 0)[..., 0], tf.constant(len(rows)))
        done = draws.uniform(seed, 2, 1) < tf.gather(tf.constant(chances), pair)
        operation = tf.where(done, tf.gather(tf.constant(chosen), pair), 0)
        return _signed(operation, tf.gather(tf.constant(magnitudes), pair), seed)

    return _policy(draw, 2, relative_moves=True)


def _policy(draw: Draw, number: int, *, relative_moves: bool) -> MapFunction:
    """Does the drawn operations in a row; moves are shares of the image's side, or pixels."""

    def apply(example: Example, drawn: Drawn) -> Example:
        image = example["image"]
        sides = {"translate_x": image.shape[1], "translate_y": image.shape[0]}
        for place in range(number):
            magnitude = drawn["magnitude"][place]

            def branch(
                index: int, image: tf.Tensor = image, size: tf.Tensor = magnitude
            ) -> Callable[[], tf.Tensor]:
                factor = sides.get(_NAMES[index], 1) if relative_moves else 1
                return lambda: tf.ensure_shape(
                    _OPERATIONS[index](image, size * factor), image.shape
                )

            branches = {index: branch(index) for index in range(len(_OPERATIONS))}
            image = tf.switch_case(drawn["operation"][place], branches)
        return example | {"image": image}

    def describe(drawn: Mapping[str, np.ndarray]) -> str:
        pairs = zip(drawn["operation"], drawn["magnitude"], strict=True)
        return ", ".join(f"{_NAMES[index]} {magnitude:.2g}" for index, magnitude in pairs)

    return MapFunction(apply, Place.IMAGE, draw, describe=describe)


def _signed(chosen: tf.Tensor, magnitudes: tf.Tensor, seed: tf.Tensor) -> Drawn:
    negative = draws.uniform(seed, chosen.shape[-1], 2) < 0.5
    flips = negative & tf.gather(tf.constant(_SIGNED), chosen)
    return {"operation": chosen, "magnitude": tf.where(flips, -magnitudes, magnitudes)}


def _ranges(
    shear: float, move: float, angle: float, enhance: float, bits: int
) -> dict[str, tuple[float, float]]:
    """Each operation's magnitude at the first and the last step."""
    return {
        "shear_x": (0, shear),
        "shear_y": (0, shear),
        "translate_x": (0, move),
        "translate_y": (0, move),
        "rotate": (0, angle),
        "brightness": (0, enhance),
        "color": (0, enhance),
        "contrast": (0, enhance),
        "sharpness": (0, enhance),
        "posterize": (8, 8 - bits),
        "solarize": (255, 0),
    }


def _magnitudes(ranges: Mapping[str, tuple[float, float]], steps: int) -> np.ndarray:
    """Magnitudes of all operations at all steps: float32 [operations, steps]."""
    table = np.stack([np.linspace(*ranges.get(name, (0, 0)), steps) for name in _NAMES])
    bits = _NAMES.index("posterize")
    table[bits] = 8 - np.round(8 - table[bits])
    return table.astype(np.float32)
