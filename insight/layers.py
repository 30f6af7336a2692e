"""Which feature maps of a layer are drawn."""

import numpy as np

from base.errors import UserError
from insight.config import FiguresConfig


def chosen_maps(config: FiguresConfig, strength: np.ndarray, most: int) -> list[int]:
    """The numbers of --maps, or those of the strongest maps, strongest first.

    Args:
        config: the flags.
        strength: float [c], how strongly each map answers.
        most: how many, where none are named.

    Raises:
        UserError: a number is of no map.
    """
    numbers = [int(number) for number in config.maps]
    if beyond := [number for number in numbers if number >= len(strength)]:
        raise UserError(f"--maps={beyond[0]}: the layer has maps 0 to {len(strength) - 1}")
    return numbers or np.argsort(-strength, kind="stable")[:most].tolist()
