"""Sixteen lanes at once: what Numba makes no vectors of, because the loop is so short."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # of 16 bits, which fill a vector of AVX2; LLVM splits them for narrower ones

_LEVELS = ir.VectorType(ir.IntType(8), LANES)
_SUMS = ir.VectorType(ir.IntType(16), LANES)
_NOTHING = ir.Constant(_SUMS, ir.Undefined)
_FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


def _weigh_lanes(  # type: ignore[no-untyped-def]
    _, levels, start, weights, weight, taps, begin, sums, at
):
    """Fills LANES sums with the weighted sum of as many levels of each tap, modulo 2^16.

    No index is checked.

    Args:
        levels: uint8 [any].
        start: index of the first tap's lanes among the levels; those of the next follow them.
        weights: uint16 [any].
        weight: index of the first tap's weight; those of the next follow it.
        taps: how many.
        begin: uint16, what each sum begins with.
        sums: uint16 [any].
        at: index of the first sum.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        levels, start, weights, weight, taps, begin, sums, at = arguments

        def pointer(array: Any, kind: Any, index: Any) -> Any:
            data = context.make_array(kind)(context, builder, array).data
            return builder.gep(data, [index])

        def vector(array: Any, kind: Any, index: Any, lanes: ir.VectorType) -> Any:
            return builder.bitcast(pointer(array, kind, index), lanes.as_pointer())

        def in_each_lane(value: Any) -> Any:
            first = builder.insert_element(_NOTHING, value, ir.IntType(32)(0))
            return builder.shuffle_vector(first, _NOTHING, _FIRST)

        kinds = signature.args
        total = cgutils.alloca_once_value(  # type: ignore[no-untyped-call]
            builder, in_each_lane(begin)
        )
        with cgutils.for_range(builder, taps) as loop:
            place = builder.add(start, builder.mul(loop.index, start.type(LANES)))
            tap = builder.load(vector(levels, kinds[0], place, _LEVELS), align=1)
            by = builder.load(pointer(weights, kinds[2], builder.add(weight, loop.index)))
            product = builder.mul(builder.zext(tap, _SUMS), in_each_lane(by))
            builder.store(builder.add(builder.load(total), product), total)
        builder.store(builder.load(total), vector(sums, kinds[6], at, _SUMS), align=2)
        return context.get_dummy_value()

    integer = types.intp
    kinds = (levels, integer, weights, integer, integer, types.uint16, sums, integer)
    return types.void(*kinds), generate


weigh_lanes: Any = intrinsic(_weigh_lanes)
