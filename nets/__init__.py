"""The canonical nets of ILSVRC, as their papers have them.

Takes a registered name; gives an untrained Keras functional model, or the facts about the net
(paper, parameters, multiply-adds, feature-map sizes, published errors). Knows nothing of flags,
data sets, losses or optimizers, and uses keras and ``keras.ops`` only.

Importing this package, ``names`` and ``entry`` are quick: keras is imported by the first ``build``.
The package also works as a copy under another name (every import in it is relative), which is how
a run keeps the source of the net that it trained; see ``source_files``.
"""

from .registry import (
    BatchNorm,
    Net,
    PublishedError,
    build,
    decay_variables,
    entry,
    example_seeds,
    names,
    source_files,
)

__all__ = [
    "BatchNorm",
    "Net",
    "PublishedError",
    "build",
    "decay_variables",
    "entry",
    "example_seeds",
    "names",
    "source_files",
]
