"""The offline job: from a source to a finished data set directory.

It plans, builds the shards that are missing, and then writes the statistics, the manifest and
TensorFlow Datasets' metadata, `dataset_info.json` last. What it was asked for is in
`.build/request.json` from the start, so the same command continues an interrupted job, and a
command that asks for something else in the same directory is refused.
"""

import dataclasses
import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from etils import epath

from base.chosen_classes import chosen_classes
from base.errors import UserError
from base.files import atomic
from data_prep import schema
from data_prep.config import BuildConfig
from data_prep.image.pixel_sums import PixelSums
from data_prep.job import checks, engines, plan, tfds_metadata, unpacking
from data_prep.job.claim import cannot_make, claimed
from data_prep.job.request import Request
from data_prep.job.shards import Part, ShardJob, npz
from data_prep.progress import Progress, duration
from data_prep.source import parquet
from data_prep.source.images import ImageRef, Source

UNPACKED_DIRECTORY = "unpacked"

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Build:
    """The plan of a data set directory, and all that its bytes depend on.

    Attributes:
        source: of the images.
        job: what the shards have in common.
        tasks: the shards, split by split.
        seed: of the shuffle.
        selection: which images of the source they are: {splits, classes, max_per_class,
            holdout}.
    """

    source: Source
    job: ShardJob
    tasks: tuple[plan.ShardTask, ...]
    seed: int
    selection: dict[str, Any]

    @property
    def images(self) -> int:
        """How many images the tasks hold."""
        return sum(len(task.refs) for task in self.tasks)

    @property
    def request(self) -> Request:
        """What was asked for, to be compared with what a directory holds."""
        return Request(
            source=self.source.fingerprint,
            settings=self.job.settings,
            seed=self.seed,
            selection=self.selection,
            shards={task.split: task.count for task in self.tasks},
        )


def plan_build(config: BuildConfig, source: Source) -> Build:
    """Plans what the flags describe. Raises UserError where that is nothing."""
    wnids = source.classes.wnids
    chosen = chosen_classes(config.classes, wnids, "the source")
    selection = {
        "splits": list(config.splits),
        "classes": None if chosen is None else [wnids[label] for label in chosen],
        "max_per_class": config.max_per_class,
        "holdout": config.holdout,
    }
    settings = config.image_settings()
    directory = epath.Path(config.data_dir) / source.name / settings.config_name() / schema.VERSION
    job = ShardJob(str(directory), source.name, settings, source.classes.wnids)
    wanted = {schema.TRAIN: config.train_shards, schema.VALIDATION: config.val_shards}

    def count(split: str, refs: Sequence[ImageRef]) -> int:
        if wanted[split]:
            return wanted[split]
        mean = checks.measure(refs, settings).record_bytes
        return max(1, round(mean * len(refs) / (config.shard_megabytes * 10**6)))

    return _plan(source, job, config.seed, selection, count)


def plan_again(manifest: schema.Manifest, directory: epath.Path, source: Source) -> Build:
    """Plans what a finished data set was made by. Raises UserError for another source."""
    job = ShardJob(str(directory), manifest.name, manifest.settings, manifest.wnids)
    what = _plan(
        source,
        job,
        manifest.seed,
        manifest.selection,
        lambda split, refs: len(manifest.shards[split]),
    )
    what.request.refuse_other(Request.of(manifest), directory)
    return what


def _plan(
    source: Source,
    job: ShardJob,
    seed: int,
    selection: dict[str, Any],
    count: Callable[[str, Sequence[ImageRef]], int],
) -> Build:
    chosen = selection["classes"]
    kept = None if chosen is None else frozenset(chosen)
    by_split = plan.shuffled(
        source.refs, seed, kept, selection["max_per_class"], selection["holdout"]
    )
    if selection["holdout"] and not by_split[schema.TRAIN]:
        raise UserError(f"--holdout={selection['holdout']} leaves no training images: take fewer")
    tasks: list[plan.ShardTask] = []
    for split in selection["splits"]:
        if refs := by_split.get(split):
            tasks += plan.shard_tasks(refs, min(count(split, refs), len(refs)))
    if not tasks:
        raise UserError(f"nothing to build: {source.path} has no images of what the flags select")
    return Build(source, job, tuple(tasks), seed, selection)


def build(config: BuildConfig, source: Source, say: Say) -> epath.Path:
    """Builds, or continues, the data set that the flags describe.

    Args:
        config: the flags.
        source: that they name.
        say: prints a line.

    Returns:
        The finished data set directory.

    Raises:
        UserError: the source is not as it should be, the directory holds something else, or too
            many images cannot be read.
    """
    for finding in checks.contents(source):
        finding.say(say)
    what = plan_build(config, source)
    directory = epath.Path(what.job.directory)
    if not _built(what, directory, say):
        with claimed(directory):
            if not _built(what, directory, say):  # else another job has just ended
                _build_missing(config, what, say)
    return directory


def _built(what: Build, directory: epath.Path, say: Say) -> bool:
    """Whether the data set is finished. Raises UserError where it is another one."""
    if not (directory / schema.DATASET_INFO_FILE).exists():
        return False
    what.request.refuse_other(Request.of(schema.Manifest.load(directory)), directory)
    say(f"already built: {directory}")
    return True


def _build_missing(config: BuildConfig, what: Build, say: Say) -> None:
    directory = epath.Path(what.job.directory)
    if begun := Request.load(what.job.work):
        what.request.refuse_other(begun, directory)
    parts = {task: part for task in what.tasks if (part := what.job.finished(task))}
    finished = sum(len(task.refs) for task in parts)
    todo = [task for task in what.tasks if task not in parts]
    again = f", {len(parts)} of them finished before" if parts else ""
    say(f"building {directory}: {what.images:,} images, {len(what.tasks)} shards{again}")
    checks.room(what.job, what.images - finished, todo).say(say)
    _begin(what, directory)  # not before: a job that has no room leaves nothing behind
    progress = Progress(what.images, finished)
    rejected = _RejectedImages(config.max_rejected, what.images)
    for part in parts.values():
        rejected.add(part.rejected)

    def watch(images: int, entries: Sequence[dict[str, str]]) -> None:
        progress.add(images)
        rejected.add(entries)

    for task, part in zip(todo, _run(config, what.job, todo, watch), strict=True):
        parts[task] = part
    rate = progress.close()
    sums = finish(what, [parts[task] for task in what.tasks])
    seconds = (what.images - finished) / max(rate, 1e-9)
    say(f"built {what.images:,} images at {rate:,.0f} images/s in {duration(seconds)}: {directory}")
    _summarise(sums, len(rejected.entries), what.source.name == "ilsvrc2012", say)


def _run(
    config: BuildConfig,
    job: ShardJob,
    tasks: Sequence[plan.ShardTask],
    watch: engines.Watch,
) -> Iterator[Part]:
    if any(ref.packing == parquet.ROW for task in tasks for ref in task.refs):
        tasks = _unpacked(job, tasks)
    if config.engine == "beam":
        return engines.run_beam(job, tasks, config.beam_options, watch)
    return engines.run_local(job, tasks, config.threads, watch)


def _unpacked(job: ShardJob, tasks: Sequence[plan.ShardTask]) -> list[plan.ShardTask]:
    """The same tasks, with the images of parquet rows where they can be read at random."""
    refs = [ref for task in tasks for ref in task.refs]
    progress = Progress(len(refs), label="unpacking parquet")
    moved = iter(unpacking.unpack(refs, job.work / UNPACKED_DIRECTORY, progress.add))
    progress.close()
    return [dataclasses.replace(task, refs=tuple(next(moved) for _ in task.refs)) for task in tasks]


class _RejectedImages:
    """The images that could not be stored so far, and how many are too many."""

    def __init__(self, fraction: float, images: int) -> None:
        self._fraction, self._images = fraction, images
        self.entries: list[dict[str, str]] = []

    def add(self, entries: Sequence[dict[str, str]]) -> None:
        """Raises UserError once they are too many."""
        self.entries += entries
        if len(self.entries) > self._fraction * self._images:
            first = self.entries[0]
            raise UserError(
                f"{len(self.entries)} of {self._images:,} images cannot be stored, more than "
                f"--max_rejected={self._fraction} allows; the first is {first['name']} "
                f"({first['reason']}): mend the source, or allow more (all are then listed in "
                f"{schema.MANIFEST_FILE})"
            )


def finish(what: Build, parts: Sequence[Part]) -> PixelSums:
    """Writes all that is not a shard, from the shards' parts, `dataset_info.json` last."""
    directory = epath.Path(what.job.directory)
    sums = PixelSums(what.job.mean_image_side)
    for part in parts:
        sums.merge(part.sums)
    arrays = sums.statistics(len(what.job.wnids)).to_arrays()
    with atomic(directory / schema.STATISTICS_FILE) as file:
        file.write(npz(arrays))
    write_manifest(_manifest(what, parts), directory, what.job.work)
    what.job.work.rmtree()
    return sums


def write_manifest(manifest: schema.Manifest, directory: epath.Path, work: epath.Path) -> None:
    """Writes the manifest and, from it, TensorFlow Datasets' metadata."""
    with atomic(directory / schema.MANIFEST_FILE, "w") as file:
        file.write(manifest.to_json())
    tfds_metadata.write(manifest, directory, work)


def _summarise(sums: PixelSums, rejected: int, ilsvrc: bool, say: Say) -> None:
    """Says the statistics, for ILSVRC beside the published ones, and what is lacking."""
    if sums.images:
        statistics = sums.statistics(0)
        for name, values in (("mean", statistics.channel_mean), ("std", statistics.channel_std)):
            shown = " ".join(f"{value:.2f}" for value in values)
            published = " ".join(f"{value:.2f}" for value in PUBLISHED[name])
            beside = f" (published for all of ILSVRC 2012: {published})" if ilsvrc else ""
            say(f"channel {name} R G B: {shown}{beside}")
    if rejected:
        say(f"rejected {rejected} images: {schema.MANIFEST_FILE} lists them with the reasons")


# The mean is that of the VGG authors' models; the deviations are those that torchvision's issue
# 1439 recomputed for images of short side 256 cropped to 224, times 255.
PUBLISHED = {"mean": (123.68, 116.779, 103.939), "std": (69.46, 67.24, 70.41)}


def _manifest(what: Build, parts: Sequence[Part]) -> schema.Manifest:
    shards: dict[str, list[schema.Shard]] = {split: [] for split in schema.SPLITS}
    for task, part in zip(what.tasks, parts, strict=True):
        shards[task.split].append(part.shard)
    classes = what.source.classes
    return schema.Manifest(
        name=what.job.name,
        source={
            "layout": what.source.layout,
            "fingerprint": what.source.fingerprint,
            "images": len(what.source.refs),
        },
        generated=what.source.generated,
        settings=what.job.settings,
        seed=what.seed,
        selection=what.selection,
        wnids=classes.wnids,
        words=classes.words,
        label_order=schema.label_order_hash(classes.wnids),
        shards={split: tuple(shards[split]) for split in schema.SPLITS},
        rejected=tuple(entry for part in parts for entry in part.rejected),
    )


def _begin(what: Build, directory: epath.Path) -> None:
    """Writes what is asked for, and so learns whether files can be written and renamed there."""
    try:
        what.job.work.mkdir(parents=True, exist_ok=True)
        what.request.save(what.job.work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(cannot_make(directory, error)) from None
