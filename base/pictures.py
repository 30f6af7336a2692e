"""Writes the pictures that commands draw."""

import pathlib

from PIL import Image

from base.errors import UserError
from base.files import atomic


def save_png(picture: Image.Image, path: str) -> None:
    """Writes a PNG file, whole or not at all, and makes its directory where it is missing.

    Raises:
        UserError: it cannot be written.
    """
    target = pathlib.Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as file:
            picture.save(file, format="PNG")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
