"""The picture that `preview.py` draws: columns of tiles, one after each map function."""

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from pipelines.chain import Chain
from pipelines.config import Phase, PipelineConfig
from pipelines.functions import draws
from pipelines.functions.map_function import Example
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset

# All in pixels, but for the last two.
_TILE = 192
_GAP = 10
_BOX_WIDTH = 3
_LINE = 13
_FONT = 11
_CHARACTERS = 31
_CAPTION_LINES = 4

_BOX_COLOR = (255, 40, 40)
_PAPER = (255, 255, 255)
_INK = (20, 20, 20)


@dataclasses.dataclass(frozen=True)
class Column:
    """One stage of all images.

    Attributes:
        title: what was done.
        tiles: uint8 [height, width, 3] each.
        captions: what was drawn for each.
    """

    title: str
    tiles: list[np.ndarray]
    captions: list[str]


def columns_of(dataset: Dataset, config: PipelineConfig, count: int) -> list[Column]:
    """The first `count` training images of a run, as stored and after each map function."""
    # As a batch of so many images, because a chunk divides a batch; the order is the same.
    few = dataclasses.replace(config, train_batch_size=count)
    pipeline = InputPipeline(dataset, few)
    serialized, epoch, first = next(iter(pipeline.training_records(count)))
    seeds = draws.example_seeds(config.seed, epoch, first + tf.range(count, dtype=tf.int64))
    chains = pipeline.chains(Phase.TRAIN)
    batch = dataset.parse(serialized)
    stored, host_columns, images = _on_host(dataset, chains.host, batch, seeds)
    mapped = {"image": images, "label": batch["label"]}
    return [stored, *host_columns, *_on_device(dataset, chains.device, mapped, seeds)]


def painted(columns: Sequence[Column]) -> Image.Image:
    """The columns side by side, with their titles and captions; each row as high as it must be."""
    font = ImageFont.load_default(_FONT)
    titles = [_wrapped(column.title) for column in columns]
    tiles = [[_thumbnail(tile) for tile in column.tiles] for column in columns]
    captions = [[_wrapped(said)[:_CAPTION_LINES] for said in column.captions] for column in columns]
    heights = [
        max(tile.height + len(lines) * _LINE for tile, lines in zip(*row, strict=True)) + 2 * _GAP
        for row in zip(zip(*tiles, strict=True), zip(*captions, strict=True), strict=True)
    ]
    tops = np.cumsum([2 * _GAP + max(map(len, titles)) * _LINE, *heights]).tolist()
    sheet = Image.new("RGB", (_GAP + len(columns) * (_TILE + _GAP), tops[-1]), _PAPER)
    pen = ImageDraw.Draw(sheet)

    def write(left: int, top: int, lines: list[str]) -> None:
        pen.multiline_text((left, top), "\n".join(lines), _INK, font, spacing=2)

    for place, title in enumerate(titles):
        left = _GAP + place * (_TILE + _GAP)
        write(left, _GAP, title)
        for top, tile, lines in zip(tops[:-1], tiles[place], captions[place], strict=True):
            sheet.paste(tile, (left, top))
            write(left, top + tile.height + 2, lines)
    return sheet


def _on_host(
    dataset: Dataset, chain: Chain, batch: Example, seeds: tf.Tensor
) -> tuple[Column, list[Column], tf.Tensor]:
    """The stored images, a column for each function, and the batch that goes to the device."""
    drawn = _rows(chain.draw(batch, seeds))
    examples = _rows(batch)
    tiles = []
    for example, choices in zip(examples, drawn, strict=True):
        image = Image.fromarray(dataset.decoder.decode(example).numpy())
        if "box" in choices[0]:
            top, left, height, width = choices[0]["box"].numpy().tolist()
            corners = (left, top, left + width - 1, top + height - 1)
            wide = max(1, round(_BOX_WIDTH * max(image.size) / _TILE))
            ImageDraw.Draw(image).rectangle(corners, outline=_BOX_COLOR, width=wide)
        tiles.append(np.asarray(image))
    captions = [
        f"{dataset.words[int(example['label'])]}, {tile.shape[1]}x{tile.shape[0]}"
        for example, tile in zip(examples, tiles, strict=True)
    ]
    columns = []
    for place, (call, function) in enumerate(zip(chain.calls, chain.functions, strict=True)):
        examples = [
            function.apply(example, choices[place])
            for example, choices in zip(examples, drawn, strict=True)
        ]
        said = [function.describe(_numbers(choices[place])) for choices in drawn]
        columns.append(Column(str(call), [e["image"].numpy() for e in examples], said))
    images = tf.stack([example["image"] for example in examples])
    return Column("stored", tiles, captions), columns, images


def _on_device(dataset: Dataset, chain: Chain, batch: Example, seeds: tf.Tensor) -> list[Column]:
    """A column for each function, then one with the labels and the range that the net is given."""
    drawn = chain.draw(batch, seeds)
    columns = []
    for call, function, choices in zip(chain.calls, chain.functions, drawn, strict=True):
        batch = function.apply(batch, choices)
        rows = _rows(choices, len(seeds))
        if function.pairs:  # both are mixed by what the first has drawn
            rows = [rows[place - place % 2] for place in range(len(rows))]
        tiles, ranges = _visible(batch["image"])
        said = [function.describe(_numbers(choice)) for choice in rows]
        captions = [", ".join(filter(None, both)) for both in zip(said, ranges, strict=True)]
        columns.append(Column(f"device: {call}", tiles, captions))
    values = batch["image"].numpy()
    captions = [
        f"{_label(dataset, label)}, {_range(image)}"
        for label, image in zip(batch["label"].numpy(), values, strict=True)
    ]
    shape = "x".join(str(side) for side in values.shape)
    tiles, _ = _visible(batch["image"])
    return [*columns, Column(f"given to the net: {shape}", tiles, captions)]


def _visible(images: tf.Tensor) -> tuple[list[np.ndarray], list[str]]:
    """Tiles of a batch, and what to say under them.

    Levels are as they are. What is none is stretched to 0..255, all images alike, and each one's
    own range is said.
    """
    values = tf.cast(images, tf.float32).numpy()
    low, high = float(values.min()), float(values.max())
    ranges = [""] * len(values)
    if low < 0 or high > 255 or high <= 1:
        ranges = [_range(image) for image in values]
        values = (values - low) * (255 / max(high - low, 1e-6))
    return list(np.round(values).astype(np.uint8)), ranges


def _range(values: np.ndarray) -> str:
    return f"values {values.min():.3g} to {values.max():.3g}"


def _thumbnail(tile: np.ndarray) -> Image.Image:
    """A tile's picture: a small one by a whole factor, so that each of its pixels is a square."""
    image = Image.fromarray(tile)
    factor = _TILE // max(image.size)
    if factor > 1:
        return image.resize([factor * side for side in image.size], Image.Resampling.NEAREST)
    image.thumbnail((_TILE, _TILE))
    return image


def _label(dataset: Dataset, label: np.ndarray) -> str:
    if label.ndim == 0:
        return dataset.words[int(label)]
    shares = [(share, dataset.words[index]) for index, share in enumerate(label) if share > 0]
    return " + ".join(f"{share:.0%} {words}" for share, words in sorted(shares, reverse=True))


def _rows(batch: Any, count: int | None = None) -> list[Any]:
    """A structure of tensors [b, ...] as b structures."""
    tensors = tf.nest.flatten(batch)
    count = len(tensors[0]) if count is None else count
    return [
        tf.nest.map_structure(lambda tensor, row=row: tensor[row], batch) for row in range(count)
    ]


def _numbers(drawn: dict[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in drawn.items()}


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _CHARACTERS)
