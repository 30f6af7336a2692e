"""PyTorch's nets with random weights, and their logits: what tests compare ours with.

For a process of its own, without TensorFlow: torchvision is not to be imported beside it
(TensorFlow 2.21, torchvision 0.29: a segmentation fault).
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def weights_and_logits(
    constructor: str, options: Mapping[str, Any], gamma: float, images: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Builds a net, and shows it images.

    Args:
        constructor: where it is, 'torchvision.models.resnet18'.
        options: what it takes.
        gamma: what the factors in its norms lie around.
        images: float32 [batch, height, width, 3].

    Returns:
        Its state dict, and the logits that it gives for the images when evaluated.
    """
    import torch

    module, _, name = constructor.rpartition(".")
    net = getattr(importlib.import_module(module), name)(**options).eval()
    _randomise(net, gamma)
    with torch.inference_mode():
        logits = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}, logits


def _randomise(net: Any, gamma: float) -> None:
    """Gives a net weights that exercise everything: biases and statistics too."""
    import torch

    generator = torch.Generator().manual_seed(3)
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("bias"):
                parameter.data.normal_(0, 0.1, generator=generator)
            elif parameter.squeeze().ndim > 1:  # matrices and kernels [out, in, ...], positions
                deviation = (1.5 / parameter[0].numel()) ** 0.5
                parameter.data.normal_(0, deviation, generator=generator)
            else:
                parameter.data.uniform_(0.5 * gamma, 1.5 * gamma, generator=generator)
