"""A chain of map functions, checked and composed into one.

A host chain turns one stored image into uint8 pixels of a fixed size; a device chain turns a batch
of those into float32.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from base.spec import Call, UserError, parse_chain

# Importing them registers their map functions.
from pipelines.functions import (  # noqa: F401
    color,
    crops,
    draws,
    geometry,
    mixing,
    normalization,
    policies,
    resizing,
    views,
)
from pipelines.functions.map_function import MAP_FUNCTIONS, Drawn, Example, MapFunction, Stage

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

    @property
    def min_side(self) -> int:
        """The shorter side that stored images must have, in pixels."""
        return max((function.min_side for function in self.functions), default=0)


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
        if not function.takes & (Stage.ENCODED | Stage.IMAGE):
            device_flag = flag.replace("_map", "_device_map")
            raise UserError(f"{where} works on whole batches: move it to --{device_flag}")
        if not decoded and not function.takes & Stage.ENCODED:
            raise UserError(
                f"{where} needs pixels: begin with decode or another decode_... function"
            )
        if decoded and not function.takes & Stage.IMAGE:
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
        if not function.takes & Stage.BATCH:
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
