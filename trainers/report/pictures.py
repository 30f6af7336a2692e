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
        self.room = max(0, MOST_BYTES - others)
        self._texts: dict[str, str] = {}

    def reserve(self, others: int) -> None:
        """Leaves so many bytes of the page to another part of it."""
        self.room = max(0, self.room - others)

    def keep(self, content: bytes) -> str | None:
        """The key of a JPEG file in the page; None where there is no room left for it."""
        key = hashlib.sha256(content).hexdigest()[:16]
        if key not in self._texts:
            text = base64.b64encode(content).decode()
            if len(text) > self.room:
                return None
            self.room -= len(text)
            self._texts[key] = text
        return key

    def embed(self, picture: Image.Image, alt: str, width: int) -> str | None:
        """The <img> of a picture, at most `width` pixels wide; None where there is no room left."""
        shown = picture.convert("RGB")
        shown.thumbnail((width, 100 * width))
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=_QUALITY)
        key = self.keep(stream.getvalue())
        if key is None:
            return None
        return (
            f'<img data-picture="{key}" width="{shown.width}" height="{shown.height}" '
            f'alt="{escape(alt)}">'
        )

    def json(self) -> str:
        """All pictures: a JSON object from `data-picture` to a JPEG in base 64."""
        return json.dumps(self._texts)
