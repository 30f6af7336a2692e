"""The offline job: from a source to a finished data set directory.

It plans, builds the shards that are missing, and then writes the statistics, the manifest and
TensorFlow Datasets' metadata, `dataset_info.json` last. What it was asked for is in
`.build/request.json` from the start, so the same command continues an interrupted job, and a
command that asks for something else in the same directory is refused.
"""

import dataclasses
import errno
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from etils import epath

from base.chosen_classes import chosen_classes
from base.errors import UserError
from base.files import atomic
from data_prep import schema
from data_prep.config import BuildConfig
from data_prep.image.pixel_sums import PixelSums
from data_prep.job import checks, plan, running, tfds_metadata
from data_prep.job.claim import cannot_make, claimed
from data_prep.job.request import Request
from data_prep.job.runs import Runs
from data_prep.job.shards import Part, ShardJob, npz
from data_prep.layouts import opening
from data_prep.progress import duration
from data_prep.source.images import ImageRef, Source

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
            content=self.source.content,
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
    planned = _plan(
        source,
        job,
        manifest.seed,
        manifest.selection,
        lambda split, refs: len(manifest.shards[split]),
    )
    planned.request.refuse_other(Request.of(manifest), directory)
    return planned


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
    planned = plan_build(config, source)
    directory = epath.Path(planned.job.directory)
    if not _built(planned, directory, say):
        with claimed(directory):
            if not _built(planned, directory, say):  # else another job has just ended
                _build_missing(config, planned, say)
    return directory


def _built(planned: Build, directory: epath.Path, say: Say) -> bool:
    """Whether the data set is finished. Raises UserError where it is another one."""
    if not (directory / schema.DATASET_INFO_FILE).exists():
        return False
    _refuse_other(planned, Request.of(schema.Manifest.load(directory)))
    say(f"already built: {directory}")
    return True


def _refuse_other(planned: Build, found: Request) -> None:
    """Raises UserError where the directory holds something else."""
    asked, source = planned.request, planned.source
    if found.content is None and set(source.splits) != set(schema.SPLITS):
        # Older versions listed every split, and their fingerprints are of all.
        whole = opening.open_source(source.path, source.layout)
        asked = dataclasses.replace(asked, source=whole.fingerprint)
    asked.refuse_other(found, epath.Path(planned.job.directory))


def _build_missing(config: BuildConfig, planned: Build, say: Say) -> None:
    directory = epath.Path(planned.job.directory)
    if begun := Request.load(planned.job.work):
        _refuse_other(planned, begun)
    work = running.Work(config, planned.job, planned.tasks, planned.source.path)
    # Not before there is room: a job that has none leaves nothing behind.
    done = running.run(work, lambda: _begin(planned, directory), say)
    sums = finish(planned, done.parts)
    seconds = done.images / max(done.rate, 1e-9)
    say(
        f"built {planned.images:,} images at {done.rate:,.0f} images/s in {duration(seconds)}: "
        f"{directory}"
    )
    _summarise(sums, done.rejected, planned.source.name == "ilsvrc2012", say)


def finish(planned: Build, parts: Sequence[Part]) -> PixelSums:
    """Writes all that is not a shard, from the shards' parts, `dataset_info.json` last."""
    directory = epath.Path(planned.job.directory)
    sums = PixelSums(planned.job.mean_image_side)
    for part in parts:
        sums.merge(part.sums)
    if runs := Runs.begun(
        planned.job, planned.tasks
    ):  # which have the sums of the shards made of them
        for of_piece in runs.sums():
            sums.merge(of_piece)
    arrays = sums.statistics(len(planned.job.wnids)).to_arrays()
    with atomic(directory / schema.STATISTICS_FILE) as file:
        file.write(npz(arrays))
    write_manifest(_manifest(planned, parts), directory, planned.job.work)
    planned.job.work.rmtree()
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


def _manifest(planned: Build, parts: Sequence[Part]) -> schema.Manifest:
    shards: dict[str, list[schema.Shard]] = {split: [] for split in schema.SPLITS}
    for task, part in zip(planned.tasks, parts, strict=True):
        shards[task.split].append(part.shard)
    classes = planned.source.classes
    return schema.Manifest(
        name=planned.job.name,
        source={
            "layout": planned.source.layout,
            "fingerprint": planned.source.fingerprint,
            "content": planned.source.content,
            "images": len(planned.source.refs),
        },
        generated=planned.source.generated,
        settings=planned.job.settings,
        seed=planned.seed,
        selection=planned.selection,
        wnids=classes.wnids,
        words=classes.words,
        label_order=schema.label_order_hash(classes.wnids),
        shards={split: tuple(shards[split]) for split in schema.SPLITS},
        rejected=tuple(entry for part in parts for entry in part.rejected),
    )


def _begin(planned: Build, directory: epath.Path) -> None:
    """Writes what is asked for, and so learns whether files can be written and renamed there."""
    try:
        planned.job.work.mkdir(parents=True, exist_ok=True)
        planned.request.save(planned.job.work)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(cannot_make(directory, error)) from None


def next_lines(directory: epath.Path, manifest: schema.Manifest) -> list[str]:
    """What to do with a finished data set: commands with a recipe for images of its kind."""
    recipe = "demo" if manifest.generated else "alexnet"
    if manifest.settings.geometry != "none" and manifest.settings.size < 256:
        recipe = "tiny/resnet18_narrow"
    flags = (f"--flagfile=flags/{recipe}.cfg", f"--data_dir={directory}")
    scripts = ("pipelines/preview.py", "trainers/train.py")
    return [f"next: {shlex.join(('python', script, *flags))}" for script in scripts]
