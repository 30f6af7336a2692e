"""How each protocol shows an image to a net: the papers' ways, as chains of map functions.

- `center_crop`: one crop, by the run's own --eval_map. Source: plain.
- `ten_crop`: corners, centre and their mirror images: Krizhevsky et al. 2012 (AlexNet), section
  4.1.
- `crops_144`: four scales, each by squares and their parts: Szegedy et al. 2015 (GoogLeNet),
  section 7.
- `dense`: Simonyan & Zisserman 2015 (VGG), section 3.2: the whole image and its mirror image,
  by the net in fully convolutional form; the scores are averaged over positions, then the softmax
  of image and mirror image.
- `dense_multi_scale`: that at several scales, averaged too (VGG; He et al. 2016 (ResNet), section
  3.4, whose scales are the default).

All average probabilities, over views, mirror images, scales and nets alike. What is cropped are the
stored images, so a scale above the stored size enlarges what has lost detail: the result says so.
"""

import dataclasses

from base.errors import UserError
from base.spec import parse_chain
from pipelines.config import Phase
from pipelines.functions.views import GOOGLENET_SHORT_SIDES
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import Dataset
from trainers.run_folder.files import CENTER_CROP, CROPS_144, DENSE, DENSE_MULTI_SCALE, TEN_CROP
from trainers.scoring.config import EvaluateConfig

RESNET_SCALES = (224, 256, 384, 480, 640)  # He et al. 2016, section 3.4

# ResNet's largest scale is 2.5 times the usual stored size; beyond there is nothing to see.
_MOST_ENLARGED = 3


@dataclasses.dataclass(frozen=True)
class Views:
    """One pass over a split.

    Attributes:
        eval_map: the host chain that makes the views of a stored image.
        whole: whether it gives the whole image, of any size, for the fully convolutional net; its
            mirror image counts too.
        count: views of one image that a step holds.
    """

    eval_map: str
    whole: bool = False
    count: int = 1


@dataclasses.dataclass(frozen=True)
class Plan:
    """A protocol for one run and data set.

    Attributes:
        passes: over the split; their probabilities are averaged.
        image_size: (height, width) of the crops, in pixels, for which the net is built.
        scales: shorter sides in pixels, empty where images are taken as they are stored.
        enlarged: those scales that are larger than what is stored.
    """

    passes: tuple[Views, ...]
    image_size: tuple[int, int]
    scales: tuple[int, ...]
    enlarged: tuple[int, ...]


def plan(config: EvaluateConfig, pipeline: InputPipeline) -> Plan:
    """How the flags' protocol shows the pipeline's data set to a run with that pipeline.

    Raises:
        UserError: scales that are smaller than the crops, or far larger than the stored images;
            crops that are not square.
    """
    dataset, eval_map = pipeline.dataset, pipeline.config.eval_map
    own = pipeline.chains(Phase.EVAL).image_size
    size = (config.image_size, config.image_size) if config.image_size else own
    scales = tuple(int(scale) for scale in config.scales)
    if config.protocol == CENTER_CROP and not scales and not config.image_size:
        return Plan((Views(eval_map),), size, (), ())
    if size[0] != size[1]:
        raise UserError(
            f"--protocol={config.protocol} has square crops, the run's "
            f"--eval_map={eval_map} makes {size[0]}x{size[1]}: give --image_size"
        )
    scales = scales or _default_scales(config.protocol, pipeline, size[0])
    enlarged = _enlarged(scales, dataset, size[0])
    return Plan(_passes(config.protocol, scales, size[0]), size, scales, enlarged)


def _passes(protocol: str, scales: tuple[int, ...], size: int) -> tuple[Views, ...]:
    if protocol == CROPS_144:
        return (Views(f"decode|crops_144({size}, {scales})", count=36 * len(scales)),)
    starts = [f"decode|resize_short_side({scale})" for scale in scales] or ["decode"]
    if protocol in (DENSE, DENSE_MULTI_SCALE):
        return tuple(Views(start, whole=True, count=2) for start in starts)
    if protocol == TEN_CROP:
        return tuple(Views(f"{start}|ten_crop({size})", count=10) for start in starts)
    return tuple(Views(f"{start}|center_crop({size})") for start in starts)


def _default_scales(protocol: str, pipeline: InputPipeline, size: int) -> tuple[int, ...]:
    dataset, eval_map = pipeline.dataset, pipeline.config.eval_map
    if protocol == CROPS_144:
        return GOOGLENET_SHORT_SIDES
    if protocol == DENSE_MULTI_SCALE:
        return tuple(scale for scale in RESNET_SCALES if scale >= size)
    resizes = [call for call in parse_chain(eval_map) if call.name == "resize_short_side"]
    if resizes:
        return tuple(int(value) for value in (*resizes[0].arguments, *resizes[0].keywords.values()))
    if _stored_side(dataset) is None:
        raise UserError(
            f"--protocol={protocol}: the images of {dataset.directory} are stored at sizes of "
            "their own: give --scales"
        )
    return ()


def _enlarged(scales: tuple[int, ...], dataset: Dataset, size: int) -> tuple[int, ...]:
    stored = _stored_side(dataset)
    for scale in scales or ((stored,) if stored else ()):
        if scale < size:
            raise UserError(
                f"a crop of {size} pixels does not fit within a shorter side of {scale}: give "
                "larger --scales, or a smaller --image_size"
            )
    if stored is None:
        return ()
    enlarged = tuple(scale for scale in scales if scale > stored)
    if enlarged and max(enlarged) > _MOST_ENLARGED * stored:
        raise UserError(
            f"--scales: {max(enlarged)} is more than {_MOST_ENLARGED} times the {stored} pixels "
            f"that {dataset.directory} stores: build a data set with --size={max(enlarged)}"
        )
    return enlarged


def _stored_side(dataset: Dataset) -> int | None:
    """The shorter side of every stored image in pixels, or None where they differ."""
    settings = dataset.manifest.settings if dataset.manifest else None
    fixed = settings is not None and settings.geometry in ("short_side", "square_crop", "warp")
    return settings.size if settings is not None and fixed else None
