"""Writes the pictures that commands draw."""

import contextlib
import pathlib

from PIL import Image

from base.commandline import UserError


def save_png(picture: Image.Image, path: str) -> None:
    """Writes a PNG file, whole or not at all, and makes its directory where it is missing.

    Raises:
        UserError: it cannot be written.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(temporary, format="PNG")
        temporary.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
