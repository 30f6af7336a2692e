"""The images of the embedded sample: textured shapes of ten classes on cluttered backgrounds."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

# (height, width) and how often: ILSVRC's commonest sizes, and one in ten with a short side < 256.
_SIZES = (((375, 500), 12), ((333, 500), 3), ((500, 375), 3), ((480, 640), 1), ((240, 320), 2))
_NOISE_SIDE = 1000  # pixels
_NOISE_LEVELS = 15  # standard deviations of 0 to 14 levels


def draw(label: int, rng: np.random.Generator) -> np.ndarray:
    """One image of a class: uint8 [h, w, 3]."""
    odds = np.array([weight for _, weight in _SIZES], float)
    height, width = _SIZES[rng.choice(len(_SIZES), p=odds / odds.sum())][0]
    image = _background(height, width, rng)
    _add_object(image, label, rng)
    noise = _noise(int(rng.integers(_NOISE_LEVELS)))
    top, left = rng.integers(0, _NOISE_SIDE - 640, 2)
    noise = noise[top : top + height, 3 * left : 3 * (left + width)]
    noisy = np.add(image.reshape(height, -1), noise, dtype=np.int16)
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8).reshape(image.shape)


def _background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth colours with untextured clutter of all shapes: uint8 [h, w, 3]."""
    coarse = rng.integers(0, 256, (*rng.integers(2, 7, 2), 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.integers(8, 20)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(0.02, 0.25, 2) * width
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        kind = rng.integers(4)
        if kind == 0:
            canvas.ellipse((x - w, y - h, x + w, y + h), fill=colour)
        elif kind == 1:
            canvas.rectangle((x - w, y - h, x + w, y + h), fill=colour)
        elif kind == 2:
            canvas.line((x, y, x + 3 * w, y + 3 * h), fill=colour, width=int(rng.integers(2, 9)))
        else:
            corners = rng.uniform(-1, 1, (3, 2)) * (w, h) + (x, y)
            canvas.polygon([tuple(corner) for corner in corners], fill=colour)
    return np.array(image)


def _add_object(image: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Draws the class's textured shape over the background, somewhere."""
    height, width, _ = image.shape
    short = min(height, width)
    radius = rng.uniform(0.30, 0.47) * short
    cy = height / 2 + rng.uniform(-0.15, 0.15) * (height - radius)
    cx = width / 2 + rng.uniform(-0.25, 0.25) * (width - radius)
    top, left = max(0, int(cy - radius)), max(0, int(cx - radius))
    bottom, right = min(height, int(cy + radius) + 1), min(width, int(cx + radius) + 1)
    y, x = np.ogrid[top:bottom, left:right]
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    y, x = (y - cy).astype(np.float32), (x - cx).astype(np.float32)
    u, v = cos * x + sin * y, cos * y - sin * x
    _, shape, texture = CLASSES[label]
    radius, period = np.float32(radius), np.float32(rng.uniform(0.075, 0.15) * short)
    inside = shape(u / radius, v / radius)
    lit = texture(u / period, v / period, rng)
    # Two colours of any hue, apart in lightness so that the texture is there in gray as well.
    dark, light = rng.uniform(0, 110, 3), rng.uniform(130, 255, 3)
    if rng.integers(2):
        dark, light = light, dark
    shade = np.float32(0.8) + np.float32(rng.uniform(-0.2, 0.2)) * (u / radius)
    patch = image[top:bottom, left:right]
    for channel in range(3):
        level = np.where(lit, np.float32(light[channel]), np.float32(dark[channel]))
        np.copyto(patch[..., channel], level * shade, where=inside, casting="unsafe")


Field = np.ndarray
Shape = Callable[[Field, Field], Field]
Texture = Callable[[Field, Field, np.random.Generator], Field]


def _fraction(x: Field) -> Field:
    return x - np.floor(x)  # a tenth of the time of x % 1


def _polygon(sides: int) -> Shape:
    """A regular polygon with its corners on the unit circle."""
    normals = [2 * np.pi * side / sides for side in range(sides)]
    inradius = np.cos(np.pi / sides)

    def inside(u: Field, v: Field) -> Field:
        result = np.ones(u.shape, bool)
        for normal in normals:
            result &= u * np.float32(np.cos(normal)) + v * np.float32(np.sin(normal)) < inradius
        return result

    return inside


def _star(u: Field, v: Field) -> Field:
    """Five points on the unit circle, between which the edge falls to 0.45."""
    fifths = np.arctan2(v, u) * np.float32(5 / (2 * np.pi))
    return np.hypot(u, v) < 0.45 + np.float32(1.1) * np.abs(_fraction(fifths) - np.float32(0.5))


def _disk(u: Field, v: Field) -> Field:
    return u * u + v * v < 1


def _ring(u: Field, v: Field) -> Field:
    return np.abs(np.hypot(u, v) - np.float32(0.7)) < 0.3


def _ellipse(u: Field, v: Field) -> Field:
    return u * u + np.float32(2.25) * v * v < 1


def _cross(u: Field, v: Field) -> Field:
    u, v = np.abs(u), np.abs(v)
    return (np.minimum(u, v) < 0.36) & (np.maximum(u, v) < 0.93)


def _stripes(x: Field, y: Field, rng: np.random.Generator) -> Field:
    return _fraction(x) < 0.5


def _checks(x: Field, y: Field, rng: np.random.Generator) -> Field:
    return (_fraction(x) < 0.5) ^ (_fraction(y) < 0.5)


def _dots(x: Field, y: Field, rng: np.random.Generator) -> Field:
    x, y = _fraction(x) - np.float32(0.5), _fraction(y) - np.float32(0.5)
    return x * x + y * y < 0.1


def _lattice(x: Field, y: Field, rng: np.random.Generator) -> Field:
    return np.minimum(_fraction(x), _fraction(y)) < 0.18


def _circles(x: Field, y: Field, rng: np.random.Generator) -> Field:
    return _fraction(np.hypot(x, y)) < 0.5


def _rays(x: Field, y: Field, rng: np.random.Generator) -> Field:
    turns = np.arctan2(y, x) * np.float32(1 / (2 * np.pi))
    return _fraction(turns * np.float32(rng.integers(8, 15))) < 0.5


def _zigzag(x: Field, y: Field, rng: np.random.Generator) -> Field:
    width = np.float32(1.6)
    return _fraction(y + width * np.abs(_fraction(x / width) - np.float32(0.5))) < 0.5


def _bricks(x: Field, y: Field, rng: np.random.Generator) -> Field:
    y = 2 * y
    shift = np.float32(0.5) * (_fraction(y / 2) < 0.5)
    return (_fraction(x + shift) < 0.12) | (_fraction(y) < 0.24)


def _marble(x: Field, y: Field, rng: np.random.Generator) -> Field:
    total = np.zeros_like(x)
    for angle, phase in zip(rng.uniform(0, np.pi, 5), rng.uniform(0, 2 * np.pi, 5), strict=True):
        cos, sin = 5 * np.float32(np.cos(angle)), 5 * np.float32(np.sin(angle))
        total += np.sin(x * cos + y * sin + np.float32(phase))
    return total > 0


def _plain(x: Field, y: Field, rng: np.random.Generator) -> Field:
    return np.zeros(x.shape, bool)


CLASSES: tuple[tuple[str, Shape, Texture], ...] = (
    ("striped disk", _disk, _stripes),
    ("checkered square", _polygon(4), _checks),
    ("dotted hexagon", _polygon(6), _dots),
    ("latticed ring", _ring, _lattice),
    ("target, bullseye", _ellipse, _circles),
    ("sunburst", _polygon(5), _rays),
    ("zigzag triangle", _polygon(3), _zigzag),
    ("brick cross", _cross, _bricks),
    ("marbled octagon", _polygon(8), _marble),
    ("plain star", _star, _plain),
)


@functools.cache
def _noise(deviation: int) -> np.ndarray:
    """Gaussian noise to cut from, int8 [side, 3 * side]: fresh noise for each image is too slow."""
    normal = np.random.default_rng(0).standard_normal((_NOISE_SIDE, 3 * _NOISE_SIDE), np.float32)
    return np.clip(normal * deviation, -127, 127).astype(np.int8)
