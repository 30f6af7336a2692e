"""The pictures in a report: each is embedded once, while there is room."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from html import escape

from PIL import Image

# JPEG's quality: letters in contact sheets stay sharp.
_QUALITY = 82

# A report is to be mailed: so long may it be, in bytes, and what is left of that pictures take.
MOST_BYTES = 4_800_000


class Pictures:
    """What pictures the page has; those that came when the room was full are not in it."""

    def __init__(self, others: int):
        """`others` is how many bytes of the page other parts take."""
        self._room = max(0, MOST_BYTES - others)
        self._texts: dict[str, str] = {}

    def embed(self, picture: Image.Image, alt: str, width: int) -> str | None:
        """The <img> of a picture, at most `width` pixels wide; None where there is no room left."""
        shown = picture.convert("RGB")
        shown.thumbnail((width, 100 * width))
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=_QUALITY)
        content = stream.getvalue()
        key = hashlib.sha256(content).hexdigest()[:16]
        if key not in self._texts:
            text = base64.b64encode(content).decode()
            if len(text) > self._room:
                return None
            self._room -= len(text)
            self._texts[key] = text
        return (
            f'<img data-picture="{key}" width="{shown.width}" height="{shown.height}" '
            f'alt="{escape(alt)}">'
        )

    def json(self) -> str:
        """All pictures: a JSON object from `data-picture` to a JPEG in base 64."""
        return json.dumps(self._texts)
