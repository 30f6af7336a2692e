"""Convolutions and fully connected layers: Keras's, computed in ways that are faster on the CPU.

Variables, names and numbers (but for rounding) are those of Keras's own layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# Of the gradient with respect to a layer's output: that with respect to one of its operands.
Gradient = Callable[[Any], Any]

_registered = keras.saving.register_keras_serializable(__package__ or "nets")


@_registered
class Conv2D(keras.layers.Conv2D):
    """A convolution, kernel [height, width, in, out].

    On TensorFlow's CPU kernels, gradients are computed as convolutions themselves where that is
    faster than the kernels for them: the input's where there are no strides (mostly 1.3 to 3 times
    as fast); the kernel's there too, and where it is wider than two strides, as in the first layers
    of AlexNet and ResNet (mostly 1.1 to 1.6 times).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """[batch, h, w, in] and the kernel -> [batch, h', w', out]."""
        odd = all(size % 2 for size in self.kernel_size)
        if not (odd and self.dilation_rate == (1, 1) and _on_tensorflows_cpu()):
            return super().convolution_op(inputs, kernel)
        smallest, largest = min(self.kernel_size), max(self.kernel_size)
        of_input = self.strides == (1, 1)
        wide = self.padding == "valid" and smallest > 2 * max(self.strides)
        of_kernel = largest > 1 and (of_input or wide)
        kernel = ops.cast(kernel, inputs.dtype)
        outputs = super().convolution_op(
            ops.stop_gradient(inputs) if of_input else inputs,
            ops.stop_gradient(kernel) if of_kernel else kernel,
        )
        if of_input:
            outputs = _with_gradient(outputs, inputs, self._input_gradient(kernel))
        if of_kernel:
            outputs = _with_gradient(outputs, kernel, self._kernel_gradient(inputs))
        return outputs

    def _input_gradient(self, kernel: Any) -> Gradient:
        """The output's gradient convolved with the kernel turned by 180 degrees."""
        turned = ops.transpose(ops.flip(ops.stop_gradient(kernel), (0, 1)), (0, 1, 3, 2))
        valid = self.padding == "valid"
        height, width = (size - 1 if valid else 0 for size in self.kernel_size)

        def gradient(dy: Any) -> Any:
            dy = ops.pad(dy, [[0, 0], [height, height], [width, width], [0, 0]])
            return ops.conv(dy, turned, padding=self.padding, data_format="channels_last")

        return gradient

    def _kernel_gradient(self, inputs: Any) -> Gradient:
        """The input convolved with the output's gradient, channels and batch changing places."""
        same = self.padding == "same"
        height, width = (size // 2 if same else 0 for size in self.kernel_size)

        def gradient(dy: Any) -> Any:
            x = ops.transpose(ops.stop_gradient(inputs), (3, 1, 2, 0))
            x = ops.pad(x, [[0, 0], [height, height], [width, width], [0, 0]])
            dy = ops.transpose(dy, (1, 2, 0, 3))
            dw = ops.conv(x, dy, dilation_rate=self.strides, data_format="channels_last")
            return ops.transpose(dw, (1, 2, 0, 3))[: self.kernel_size[0], : self.kernel_size[1]]

        return gradient


@_registered
class GroupedConv2D(Conv2D):
    """A convolution in groups, kernel [height, width, in/groups, out].

    On the CPU, as at most 8 plain convolutions side by side, each of neighbouring groups and with
    zeros between them in its kernel. Forward and backward together that is 5 times faster than
    TensorFlow's grouped kernel for AlexNet's conv2 and 30 to 150 times for ResNeXt's; one
    convolution for each of 32 groups takes as long, and four times as long to trace. Elsewhere the
    backend's grouped kernel, which on a GPU is the faster one (docs/gpu.md).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """[batch, h, w, in] and the kernel -> [batch, h', w', out]."""
        if not _on_cpu():
            return super().convolution_op(inputs, kernel)
        parts = max(count for count in range(1, 9) if self.groups % count == 0)
        neighbours = self.groups // parts
        if neighbours > 1:
            height, width, depth, filters = kernel.shape
            per_group = (height, width, depth, parts, neighbours, filters // self.groups)
            kernel = ops.einsum(
                "hwdpno,mn->hwmdpno",
                ops.reshape(kernel, per_group),
                ops.eye(neighbours, dtype=kernel.dtype),
            )
            kernel = ops.reshape(kernel, (height, width, neighbours * depth, filters))
        pairs = zip(
            ops.split(inputs, parts, axis=-1), ops.split(kernel, parts, axis=-1), strict=True
        )
        convolved = [super(GroupedConv2D, self).convolution_op(x, w) for x, w in pairs]
        return ops.concatenate(convolved, axis=-1)


@_registered
class SpaceToDepthConv2D(keras.layers.Conv2D):
    """The 7x7 stride-2 stem, padded by 3, as a 4x4 convolution over 2x2 blocks of pixels.

    Same variables and same numbers as the plain stem; 12 input channels use matrix units better
    than 3 (from the MLPerf ResNet-50 entries). Takes even image sides only.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """[batch, h, w, c] and the 7x7 kernel -> [batch, h/2, w/2, filters]."""
        height, width, channels = inputs.shape[1:]
        x = ops.reshape(inputs, (-1, height // 2, 2, width // 2, 2, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, height // 2, width // 2, 4 * channels))
        # A leading row and column of zeros make the window 8 wide, from -4 on: four blocks.
        w = ops.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]])
        w = ops.reshape(w, (4, 2, 4, 2, channels, self.filters))
        w = ops.transpose(w, (0, 2, 1, 3, 4, 5))
        w = ops.reshape(w, (4, 4, 4 * channels, self.filters))
        x = ops.pad(x, [[0, 0], [2, 1], [2, 1], [0, 0]])
        return ops.conv(x, w, data_format="channels_last")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Half the input's sides."""
        batch, height, width, _ = input_shape
        return (batch, height // 2, width // 2, self.filters)


@_registered
class Dense(keras.layers.Dense):
    """A fully connected layer, kernel [in, units].

    On TensorFlow's CPU kernels, the input's gradient is computed transposed: 3.5 times as fast for
    AlexNet's fc6 as multiplying a few rows by a large transposed matrix. Tokens and positions are
    rows of one matrix, so that the kernel's gradient is one product too, not a sum of many.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """[batch, ..., in] -> [batch, ..., units]."""
        if len(inputs.shape) > 2:
            rows = super().call(ops.reshape(inputs, (-1, inputs.shape[-1])), training=training)
            return ops.reshape(rows, (-1, *inputs.shape[1:-1], self.units))
        if not _on_tensorflows_cpu():
            return super().call(inputs, training=training)
        kernel = ops.cast(self.kernel, inputs.dtype)

        def input_gradient(dy: Any) -> Any:
            return ops.transpose(ops.matmul(ops.stop_gradient(kernel), ops.transpose(dy)))

        outputs = ops.matmul(ops.stop_gradient(inputs), kernel)
        outputs = _with_gradient(outputs, inputs, input_gradient)
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)


def _with_gradient(outputs: Any, operand: Any, gradient: Gradient) -> Any:
    """The outputs, which gradients flow through, to the operand by a function of our own."""

    @ops.custom_gradient
    def passed(outputs: Any, operand: Any) -> tuple[Any, Callable[..., Any]]:
        def gradients(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
            dy = args[0] if upstream is None else upstream
            return dy, gradient(dy)

        return outputs, gradients

    return passed(outputs, operand)


def _on_cpu() -> bool:
    try:
        return keras.distribution.list_devices()[0].startswith("cpu")
    except AttributeError:  # with torch Keras lists no devices: take the way that is never slow
        return True


def _on_tensorflows_cpu() -> bool:
    return keras.backend.backend() == "tensorflow" and _on_cpu()
