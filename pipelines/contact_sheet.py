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
            ImageDraw.Draw(image).rectangle(corners, outline=_BOX_COLOR, width=3)
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
        said = [function.describe(_numbers(choice)) for choice in _rows(choices, len(seeds))]
        columns.append(Column(f"device: {call}", _visible(batch["image"]), said))
    captions = [
        f"{_label(dataset, label)}, values {image.min():.3g} to {image.max():.3g}"
        for label, image in zip(batch["label"].numpy(), batch["image"].numpy(), strict=True)
    ]
    shape = "x".join(str(side) for side in batch["image"].shape)
    return [*columns, Column(f"given to the net: {shape}", _visible(batch["image"]), captions)]


def _visible(images: tf.Tensor) -> list[np.ndarray]:
    """Levels of a batch: as they are, or stretched to 0..255 together if they are no levels."""
    values = tf.cast(images, tf.float32).numpy()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255 or high <= 1:
        values = (values - low) * (255 / max(high - low, 1e-6))
    return list(np.round(values).astype(np.uint8))


def _thumbnail(tile: np.ndarray) -> Image.Image:
    image = Image.fromarray(tile)
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
