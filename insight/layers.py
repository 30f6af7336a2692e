"""Which layer's feature maps are drawn, and which of them."""

import keras
import numpy as np

from base.errors import UserError
from insight.config import FiguresConfig
from trainers.serving.net_layers import FeatureMaps, chosen_maps


def of_flags(config: FiguresConfig, model: keras.Model) -> FeatureMaps:
    """The layer of --layer.

    Raises UserError where there is none of that name, or a number of --maps is of no map.
    """
    maps = chosen_maps(model, config.layer, "--layer")
    count = maps.layer.output.shape[-1]
    if beyond := [number for number in config.maps if int(number) >= count]:
        raise UserError(f"--maps={beyond[0]}: {maps.layer.name} has maps 0 to {count - 1}")
    return maps


def strongest(config: FiguresConfig, strength: np.ndarray, most: int) -> list[int]:
    """The numbers of --maps, or those of the strongest maps, strongest first.

    Args:
        config: the flags.
        strength: float [c], how strongly each map answers.
        most: how many, where none are named.
    """
    return [int(number) for number in config.maps] or np.argsort(-strength, kind="stable")[
        :most
    ].tolist()
