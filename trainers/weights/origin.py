"""What is known of the weights of one origin for one family of nets."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

import nets

# Our layer's name for each layer name of the source.
Names = dict[str, str]
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Origin:
    """Weights of one origin for one family.

    Attributes:
        names: from the net's entry to the layers' names.
        device_map: how the images were normalised for these weights; empty: not known.
        flattened: our layer that flattens feature maps, which torch flattens channel by channel.
        departures: what the publisher's net has otherwise than ours; the weights fit all the same.
        arrays: from the file's arrays to such as have a layer and a variable in their names.
    """

    names: Callable[[nets.Net], Names]
    device_map: str
    flattened: str = ""
    departures: str = ""
    arrays: Callable[[Arrays], Arrays] = lambda arrays: arrays


# keras.applications.imagenet_utils.preprocess_input: 'caffe', 'tf' and 'torch'.
CAFFE = "to_bgr|subtract_mean((103.939, 116.779, 123.68))"
TF = "mean_std((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))"
# The same as torchvision's: mean .485 .456 .406, std .229 .224 .225.
TORCH_MEAN = (123.675, 116.28, 103.53)
TORCH = f"mean_std({TORCH_MEAN}, (58.395, 57.12, 57.375))"
SQUEEZENET = "to_bgr|subtract_mean((104.0, 117.0, 123.0))"
