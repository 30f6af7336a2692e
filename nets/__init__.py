"""The canonical nets of ILSVRC, as their papers have them.

Takes a registered name; gives an untrained Keras functional model, or the facts about the net
(paper, parameters, multiply-adds, feature-map sizes, published errors). Knows nothing of flags,
data sets, losses or optimizers, and uses keras and ``keras.ops`` only.

Importing this package, ``names`` and ``entry`` are quick: keras is imported by the first ``build``.
The package also works as a copy under another name (every import in it is relative), which is how
a run keeps the source of the net that it trained: see ``source_files``. Each copy has its own
``example_seeds``.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._registry import (
    CENTER_CROP,
    BatchNorm,
    Net,
    PublishedError,
    entry,
    names,
    register,
    source_files,
    unknown_name,
)

if TYPE_CHECKING:
    import keras

# What TensorFlow reads as it is imported. With oneDNN, which it turns on for some processors, no
# run repeats another. (`trainers` and `pipelines` set more, and say themselves what is too late.)
if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
elif (
    "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    and "base.tensorflow_start" not in sys.modules
    and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
):
    print(
        "note: TensorFlow was imported before: oneDNN is on, with which no run repeats another "
        "(import `nets` first)",
        file=sys.stderr,
    )

__all__ = [
    "CENTER_CROP",
    "BatchNorm",
    "Net",
    "PublishedError",
    "build",
    "count_macs",
    "decay_variables",
    "entry",
    "example_seeds",
    "fit_positions",
    "fully_convolutional",
    "fused_batch_norm",
    "names",
    "register",
    "replica_means",
    "source_files",
]


def build(
    name: str,
    num_classes: int = 1000,
    image_size: int | tuple[int, int] | None = None,
    **variant: Any,
) -> keras.Model:
    """Builds an untrained net as a Keras functional model.

    Args:
        name: one of ``names()``.
        num_classes: width of the last layer.
        image_size: side, or (height, width), of the input in pixels; the paper's where None.
        **variant: the net's options, see ``entry(name).options``.

    Returns:
        A model from float images [batch, height, width, 3], RGB, normalised, to float32 logits
        [batch, num_classes] (float32 under mixed precision too), or, where the net has auxiliary
        heads, to a dict of such tensors: 'logits', 'aux1', ..., and 'distillation' where a head
        learns from a teacher.

    Raises:
        ValueError: an unknown name or option, or a size that the architecture can't take.
    """
    net = entry(name)
    for option in variant:
        if option not in net.options:
            raise ValueError(unknown_name(f"option of {name}", option, list(net.options)))
    from . import _model

    return _model.build_model(net, num_classes, image_size, variant)


def count_macs(model: keras.Model) -> int:
    """Multiply-adds of a built net for one image, without biases, normalisation and pooling."""
    from . import _counts

    return _counts.count_macs(model)


def decay_variables(name: str, model: keras.Model) -> list[Any]:
    """Returns those trainable variables of a built net that the paper's L2 rule decays."""
    from ._model import decay_variables

    return decay_variables(entry(name), model)


def fully_convolutional(name: str, model: keras.Model, **variant: Any) -> keras.Model:
    """The form of a built net that is slid over images of any size; see ``convolutional``.

    Args:
        name: as for ``build``.
        model: what ``build`` gave for this name and these options.
        **variant: the options.

    Returns:
        A model from float images [batch, height, width, 3] of any size, not smaller than the
        model's own, to float32 logits [batch, num_classes], the means over all positions.

    Raises:
        ValueError: the net can't take that form; the message says why.
    """
    from . import _convolutional

    return _convolutional.convert(entry(name), model, variant)


def fit_positions(model: keras.Model, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Trained arrays for a built net, where position embeddings may be of another image size.

    Args:
        model: what ``build`` gave.
        arrays: NumPy arrays by ``<layer>/<variable>``.

    Returns:
        The arrays; embeddings that were learned on another square grid of positions are resampled
        by bicubic interpolation.
    """
    from . import _token_layers

    return _token_layers.fit_positions(model, arrays)


def example_seeds(seeds: Any) -> contextlib.AbstractContextManager[None]:
    """Makes dropout and stochastic depth pure functions of each example's own seed.

    Within the context, in this thread, every mask that the nets built by this package draw for
    example i depends on ``seeds[i]`` and on the layer's name alone, not on the batch's size, its
    split over replicas or the device. Outside of it they draw as Keras does.

    Args:
        seeds: int32 tensor [batch, 2], one pair for each example of the batch that is called.
    """
    from . import _layers

    return _layers.example_seeds(seeds)


def replica_means(
    mean: Callable[[Any], Any] | None,
) -> contextlib.AbstractContextManager[None]:
    """Says how ``synchronized_batch_norm`` averages over replicas.

    Args:
        mean: from this replica's value, a tensor of any shape, to the mean of all replicas'.
            Outside of the context a replica is taken to be alone.
    """
    from . import _layers

    return _layers.replica_means(mean)


def fused_batch_norm(
    fused: Callable[[Any, Any, Any, float], tuple[Any, Any, Any]] | None,
) -> contextlib.AbstractContextManager[None]:
    """Says what computes batch normalisation that is not synchronized, in training.

    Args:
        fused: from features [batch, height, width, channels] of any dtype, gamma and beta, float32
            [channels], and epsilon, to the normalised features, their mean and their biased
            variance, float32 [channels]. Outside of the context the layers compose it themselves.
    """
    from . import _layers

    return _layers.fused_batch_norm(fused)
