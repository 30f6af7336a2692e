"""Which operations of a graph have no kernel for GPUs, by TensorFlow's own register."""

import functools

import tensorflow as tf
from tensorflow.python.framework import kernels

_NO_KERNEL = ("Placeholder", "PartitionedCall", "StatefulPartitionedCall")


def without_gpu_kernel(graph: tf.Graph) -> set[tuple[str, str]]:
    """(operation, dtype) of those in a function's graph and in what it calls."""
    return {
        (op.type, op.outputs[0].dtype.name if op.outputs else "")
        for each in _with_called(graph)
        for op in each.get_operations()
        if op.type not in _NO_KERNEL and not _has_kernel(op)
    }


def _with_called(graph: tf.Graph) -> list[tf.Graph]:
    called = [
        function.graph for function in graph._functions.values() if hasattr(function, "graph")
    ]
    return [graph, *(inner for each in called for inner in _with_called(each))]


def _has_kernel(op: tf.Operation) -> bool:
    return any(
        all(_types(op, name) <= allowed for name, allowed in wanted.items())
        for wanted in _registered(op.type)
    )


def _types(op: tf.Operation, attribute: str) -> set[int]:
    value = op.node_def.attr[attribute]
    return {value.type} if value.type else set(value.list.type)


@functools.cache
def _registered(kind: str) -> list[dict[str, set[int]]]:
    """Of each GPU kernel of an operation, the dtypes that its attributes may have."""
    return [
        {each.name: set(each.allowed_values.list.type) for each in kernel.constraint}
        for kernel in kernels.get_registered_kernels_for_op(kind).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
    ]
