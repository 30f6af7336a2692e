"""How much of a GPU's memory a training step takes, estimated before the first one.

An estimate by counting: the outputs that the backward pass needs, and the variables. Beside an
H200's peaks (bfloat16, 256 images, by XLA; docs/gpu.md) it is within a tenth.
"""

import dataclasses
import math

import keras
import tensorflow as tf

from base.errors import UserError

# Layers whose outputs exist within other kernels only, or are other layers' outputs again.
_FUSED = {"InputLayer", "BatchNormalization", "Add", "ZeroPadding2D", "Flatten", "Multiply"}
# Response normalisation is computed in float32: its input, its sum of squares and its factor.
_FLOAT32_COPIES = {"LocalResponseNormalization": 3}
# What kernels need beside it: work space of convolutions, copies in other layouts.
_WORKSPACE = 512 * 2**20


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """The bytes that a replica needs.

    Attributes:
        fixed: whatever the batch.
        per_image: of each image of its part of the batch.
    """

    fixed: int
    per_image: int

    def of(self, images: int) -> int:
        """For so many images at once."""
        return self.fixed + self.per_image * images

    def most_images(self, limit: int) -> int:
        """How many images fit into so many bytes."""
        return max(0, (limit - self.fixed) // self.per_image)


def estimate(model: keras.Model, slots: int, beside: int = 0) -> StepMemory:
    """What a step of a net takes.

    Args:
        model: the net, in the precision that it is trained in.
        slots: the optimizer's slots for each variable.
        beside: the bytes of weights of other nets.
    """
    per_image = 0
    for layer in model.layers:
        kind = type(layer).__name__
        for output in tf.nest.flatten(layer.output):
            values = math.prod(output.shape[1:])
            if kind not in _FUSED:
                per_image += values * tf.as_dtype(layer.compute_dtype).size
            per_image += values * 4 * _FLOAT32_COPIES.get(kind, 0)
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    compute = tf.as_dtype(model.compute_dtype).size
    cast = compute if compute < 4 else 0
    held = sum(math.prod(variable.shape) for variable in model.weights)
    # Float32 value and the copy that is computed with; slots and gradient of what is trained.
    fixed = held * (4 + cast) + trained * 4 * (1 + slots) + beside + _WORKSPACE
    return StepMemory(fixed, per_image)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training asks of each GPU, and what it has.

    Attributes:
        needs: what a step takes.
        batch: images of the global batch.
        replicas: among which it is shared out.
        parts: in which each takes its share, one after the other (--accumulation_steps).
        limit: bytes of the smallest GPU; None where none says.
    """

    needs: StepMemory
    batch: int
    replicas: int
    parts: int
    limit: int | None

    @property
    def bytes(self) -> int:
        """What a step takes on each replica, by estimate."""
        return self.needs.of(self.batch // (self.replicas * self.parts))

    def line(self) -> str:
        """What is said before the first step; nothing where no GPU says how much it has."""
        if self.limit is None:
            return ""
        text = f"memory: about {_gib(self.bytes)} of {_gib(self.limit)} a GPU"
        return text if self.bytes <= self.limit else f"{text}; {self._remedy()}"

    def out_of_memory(self) -> UserError:
        """What is said where it was not enough."""
        images = self.batch // (self.replicas * self.parts)
        return UserError(
            f"out of memory: {images} images at once on each replica take about "
            f"{_gib(self.bytes)}; {self._remedy()}"
        )

    def _remedy(self) -> str:
        """The flag with which a step fits, and the recipe stays what it is."""
        share = self.batch // self.replicas
        most = self.needs.most_images(self.limit) if self.limit else share // (2 * self.parts)
        parts = next((n for n in range(1, share + 1) if share % n == 0 and share // n <= most), 0)
        if not parts:
            return "not one image fits: choose a smaller net, or smaller images"
        fit = f"by estimate {most} fit: " if self.limit else ""
        if parts <= self.parts:  # the estimate was wrong
            parts = next((n for n in range(self.parts + 1, share + 1) if share % n == 0), share)
        return f"{fit}--accumulation_steps={parts} keeps the recipe"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
