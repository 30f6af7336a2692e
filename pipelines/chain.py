"""A chain of map functions, checked and composed into one.

A host chain turns one stored image into uint8 pixels of a fixed size; a device chain turns a batch
of those into float32. `compile_chains` makes both of a phase, once, for all who need them.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from base.errors import UserError
from base.spec import Call, parse_chain
from pipelines import functions
from pipelines.config import Phase, PipelineConfig
from pipelines.functions import draws
from pipelines.functions.map_function import MAP_FUNCTIONS as MAP_FUNCTIONS
from pipelines.functions.map_function import Drawn, Example, MapFunction, Place
from pipelines.reading.dataset import Dataset

Batch = dict[str, Any]

# Importing a file of that folder registers its map functions.
for _module in pkgutil.iter_modules(functions.__path__):
    importlib.import_module(f"{functions.__name__}.{_module.name}")

# Device functions draw from other streams than host functions at the same place.
_DEVICE_STREAMS = 1000


@dataclasses.dataclass(frozen=True)
class Chain:
    """Map functions in order, as one.

    Attributes:
        calls: what was written, for messages and pictures.
        functions: one for each call.
        first_stream: the stream of random numbers that the first function draws from.
    """

    calls: tuple[Call, ...]
    functions: tuple[MapFunction, ...]
    first_stream: int = 0

    def draw(self, example: Example, seed: tf.Tensor) -> tuple[Drawn, ...]:
        """What every function draws: seeds int32 [b, 2] and an example of [b] before decoding."""
        return tuple(
            function.draw(example, draws.fold_in(seed, self.first_stream + index))
            if function.draw
            else {}
            for index, function in enumerate(self.functions)
        )

    def apply(self, example: Example, drawn: tuple[Drawn, ...]) -> Example:
        """The example after all functions."""
        for function, choices in zip(self.functions, drawn, strict=True):
            example = function.apply(example, choices)
        return example

    def images(
        self, examples: Example, drawn: tuple[Drawn, ...], shape: Sequence[int | None]
    ) -> tf.Tensor:
        """The images of a whole chunk after all functions, for a host chain.

        What begins with a window is made at once, mirrored on the way; the rest one by one.

        Args:
            examples: of [k] before decoding.
            drawn: for them.
            shape: of each image after all functions.

        Returns:
            uint8 [k, *shape].
        """
        windows, done = self.functions[0].windows, 0
        if windows:
            mirrors = len(drawn) > 1 and self.functions[1].mirrors
            flip = drawn[1]["flip"] if mirrors else tf.zeros_like(examples["label"], bool)
            examples = examples | {"image": windows(examples, drawn[0], flip)}
            done = 2 if mirrors else 1
        if done == len(drawn):
            return examples["image"]
        rest = dataclasses.replace(self, calls=self.calls[done:], functions=self.functions[done:])
        return tf.map_fn(
            lambda one: rest.apply(*one)["image"],
            (examples, drawn[done:]),
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )

    def normalized_by(self, other: "Chain") -> "Chain":
        """This chain with another's functions in place of its own normalisation.

        The normalisation are the functions that draw nothing; the other's stand where the first of
        them does. What is drawn for this chain serves the new one too.

        Raises:
            ValueError: the other draws something, or this one has no such functions.
        """
        if any(function.draw for function in other.functions):
            raise ValueError(f"{'|'.join(map(str, other.calls))} draws something")
        places = [place for place, function in enumerate(self.functions) if not function.draw]
        if not places:
            raise ValueError("there is no normalisation, in whose place another could stand")
        functions = [
            dataclasses.replace(function, apply=lambda example, drawn: example)
            if place in places
            else function
            for place, function in enumerate(self.functions)
        ]
        apply_other = other.apply
        functions[places[0]] = dataclasses.replace(
            self.functions[places[0]],
            apply=lambda example, drawn: apply_other(example, tuple({} for _ in other.functions)),
        )
        return dataclasses.replace(self, functions=tuple(functions))

    @property
    def min_side(self) -> int:
        """The shorter side that stored images must have, in pixels."""
        return max((function.min_side for function in self.functions), default=0)


@dataclasses.dataclass(frozen=True)
class Chains:
    """Both chains of a phase, for one data set.

    Attributes:
        phase: of training or of evaluation.
        host: from an example to uint8 pixels.
        device: from a batch of those to float32.
    """

    phase: Phase
    host: Chain
    device: Chain

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The host chain's images: [height, width, 3], or [views, height, width, 3].

        Raises UserError where they are of several sizes.
        """
        return output_shape(self.host, f"{self.phase}_map")

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the images that the net is given."""
        height, width, _ = self.shape[-3:]
        return height, width

    @property
    def pairs(self) -> bool:
        """Whether the device chain mixes examples in pairs."""
        return any(function.pairs for function in self.device.functions)

    def on_device(self, batch: Batch) -> Batch:
        """The device chain, for the inside of a replica's step.

        Returns:
            The batch without `drawn`, its images float32. A batch that has no `drawn` is drawn for
            on the spot, from its `seed`.
        """
        example = {name: value for name, value in batch.items() if name != "drawn"}
        drawn = batch["drawn"] if "drawn" in batch else self.device.draw(batch, batch.get("seed"))
        example = self.device.apply(example, drawn)
        return example | {"image": tf.cast(example["image"], tf.float32)}


def compile_chains(
    dataset: Dataset, config: PipelineConfig, phase: Phase, epoch: int = 0
) -> Chains:
    """Both chains of a phase, as the flags have them.

    Args:
        dataset: whose images they take.
        config: the flags.
        phase: of training or of evaluation.
        epoch: whose size {size} in --train_map has.

    Raises:
        UserError: a chain cannot be read, its order makes no sense, or it crops more than the data
            set stores; the message names the flag.
    """
    given = dataset.given()
    host = host_chain(config.host_map(phase, epoch), f"{phase}_map", **given)
    device = device_chain(config.device_map(phase), f"{phase}_device_map", **given)
    dataset.refuse_smaller(host.min_side, f"--{phase}_map")
    return Chains(phase, host, device)


def host_chain(text: str, flag: str, **given: Any) -> Chain:
    """The chain that runs for each example on the host.

    Args:
        text: the flag's value.
        flag: the flag's name, for messages.
        **given: what map functions ask the program for: `decoder`, `statistics`, `num_classes`.

    Raises:
        UserError: it cannot be read, or its order makes no sense; the message says where.
    """
    calls, functions = _functions(text, flag, given)
    decoded = False
    for place, (call, function) in enumerate(zip(calls, functions, strict=True), 1):
        where = f"--{flag}: {call}, at place {place} of the chain,"
        if not function.takes & (Place.ENCODED | Place.IMAGE):
            device_flag = flag.replace("_map", "_device_map")
            raise UserError(f"{where} works on whole batches: move it to --{device_flag}")
        if not decoded and not function.takes & Place.ENCODED:
            raise UserError(
                f"{where} needs pixels: begin with decode or another decode_... function"
            )
        if decoded and not function.takes & Place.IMAGE:
            raise UserError(f"{where} decodes what {calls[0]} has decoded already: leave one out")
        decoded = True
    if not decoded:
        raise UserError(f"--{flag} is empty: it must at least decode, e.g. decode_center_crop(224)")
    return Chain(tuple(calls), tuple(functions))


def device_chain(text: str, flag: str, **given: Any) -> Chain:
    """The chain that runs for each batch on the device; see `host_chain`."""
    calls, functions = _functions(text, flag, given)
    normalizer: Call | None = None
    for place, (call, function) in enumerate(zip(calls, functions, strict=True), 1):
        where = f"--{flag}: {call}, at place {place} of the chain,"
        if not function.takes & Place.BATCH:
            host_flag = flag.replace("_device_map", "_map")
            raise UserError(f"{where} works on single images: move it to --{host_flag}")
        if function.normalizes and normalizer is not None:
            raise UserError(f"{where} normalizes what {normalizer} has normalized: leave one out")
        normalizer = call if function.normalizes else normalizer
    return Chain(tuple(calls), tuple(functions), first_stream=_DEVICE_STREAMS)


def output_shape(chain: Chain, flag: str) -> tuple[int, ...]:
    """The shape of a host chain's images: [height, width, 3], or [views, height, width, 3].

    Raises:
        UserError: they would be of several sizes, so that no batch can be made.
    """

    def run(image: tf.Tensor) -> tf.Tensor:
        side = tf.constant(max(chain.min_side, 1))
        example = {"image": image, "height": side, "width": side, "label": tf.constant(0)}
        return chain.apply(example, chain.draw(example, tf.constant([0, 0])))["image"]

    traced = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec([], tf.string))
    shape = traced.output_shapes
    if not shape.is_fully_defined():
        raise UserError(
            f"--{flag}: after {chain.calls[-1]} images still differ in size: end the chain with a "
            "crop, such as random_crop(224) or center_crop(224)"
        )
    return tuple(shape.as_list())


def _functions(text: str, flag: str, given: dict[str, Any]) -> tuple[list[Call], list[MapFunction]]:
    try:
        calls = parse_chain(text)
        return calls, [MAP_FUNCTIONS.make(call, **given) for call in calls]
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from None
