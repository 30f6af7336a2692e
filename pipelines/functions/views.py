"""Map functions that make several views of one image, whose predictions an evaluation averages."""

import tensorflow as tf

from pipelines.functions.crops import check_size
from pipelines.functions.map_function import MAP_FUNCTIONS, MapFunction, Place, on_image
from pipelines.functions.resizing import resized, shrinks, with_short_side

# Szegedy et al. 2015, section 7: 4 scales x 3 squares x 6 views x 2 mirrorings.
GOOGLENET_SHORT_SIDES = (256, 288, 320, 352)


@MAP_FUNCTIONS.register
def ten_crop(size: int) -> MapFunction:
    """The four corners and the centre of the central square, and their mirror images.

    Krizhevsky et al. 2012, section 4.1, where the images are squares. Gives uint8
    [10, size, size, 3]: top left, top right, bottom left, bottom right, centre, then mirrored.
    """
    check_size(size)

    def views(image: tf.Tensor) -> tf.Tensor:
        height, width = tf.unstack(tf.shape(image)[:2])
        side = tf.minimum(height, width)
        square = _cut(image, (height - side) // 2, (width - side) // 2, side)
        return _with_mirrored(_five(square, size))

    return MapFunction(on_image(views), Place.IMAGE)


@MAP_FUNCTIONS.register
def crops_144(size: int, short_sides: tuple[int, ...] = GOOGLENET_SHORT_SIDES) -> MapFunction:
    """GoogLeNet's views (Szegedy et al. 2015, section 7).

    At each scale the two end squares and the middle one (left, centre, right; of portraits top,
    centre, bottom); of each its four corners, its centre, and the whole square resized to `size`;
    and all mirrored. Gives uint8 [36 * scales, size, size, 3].

    Args:
        size: side of the views, in pixels.
        short_sides: the scales: the shorter side of the resized image, in pixels.
    """
    check_size(size)
    if not isinstance(short_sides, tuple) or not short_sides:
        raise ValueError(f"short_sides is a tuple of sizes in pixels, not {short_sides!r}")
    for short_side in short_sides:
        check_size(short_side)
        if short_side < size:
            raise ValueError(f"a crop of {size} does not fit within a short side of {short_side}")

    def views(image: tf.Tensor) -> tf.Tensor:
        found = []
        for short_side in short_sides:
            scaled = with_short_side(image, tf.constant(short_side))
            rest = tf.shape(scaled)[:2] - short_side
            for corner in (tf.zeros_like(rest), rest // 2, rest):
                square = _cut(scaled, corner[0], corner[1], short_side)
                whole = resized(square, size, size, shrinks(tf.constant(short_side), size))
                found += [_five(square, size), whole[tf.newaxis]]
        return _with_mirrored(tf.concat(found, axis=0))

    return MapFunction(on_image(views), Place.IMAGE)


def _five(square: tf.Tensor, size: int) -> tf.Tensor:
    """The corners and the centre: uint8 [5, size, size, 3]."""
    rest = tf.shape(square)[0] - size
    middle = rest // 2
    corners = ((0, 0), (0, rest), (rest, 0), (rest, rest), (middle, middle))
    return tf.stack([_cut(square, top, left, size) for top, left in corners])


def _cut(
    image: tf.Tensor, top: tf.Tensor | int, left: tf.Tensor | int, side: tf.Tensor | int
) -> tf.Tensor:
    return tf.image.crop_to_bounding_box(image, top, left, side, side)


def _with_mirrored(views: tf.Tensor) -> tf.Tensor:
    return tf.concat([views, tf.reverse(views, [2])], axis=0)
