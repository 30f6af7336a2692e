"""The offline job: from a source to a finished data set directory.

It plans, builds the shards that are missing, and then writes the statistics, the manifest and
TensorFlow Datasets' metadata, `dataset_info.json` last. What it was asked for is in
`.build/request.json` from the start, so the same command continues an interrupted job, and a
command that asks for something else in the same directory is refused.
"""

import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath

from data_prep import engines, images, plan, sample, schema, tfds_metadata
from data_prep.commandline import UserError
from data_prep.config import BuildConfig, SourceConfig, chosen_classes
from data_prep.dataset_stats import PixelSums
from data_prep.progress import Progress, duration
from data_prep.shards import Chunk, Part, ShardJob, serialize, write_atomically
from data_prep.sources import ImageRef, Source, open_source

REQUEST_FILE = "request.json"
_SIZE_SAMPLE = 64  # images by which the size of a split's shards is estimated


@dataclasses.dataclass(frozen=True)
class Build:
    """What is to be built: the whole plan of a data set directory.

    Attributes:
        source: of the images.
        job: what the shards have in common.
        tasks: the shards, split by split.
        seed: of the shuffle.
        selection: which images of the source they are, for the manifest.
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

    def request(self) -> dict[str, Any]:
        """All that the bytes of the data set depend on."""
        shards: dict[str, int] = {task.split: task.count for task in self.tasks}
        return {
            "source": self.source.fingerprint(),
            "settings": dataclasses.asdict(self.job.settings),
            "seed": self.seed,
            "selection": self.selection,
            "shards": shards,
        }


def open_or_generate(where: SourceConfig, data_dir: str, say: Callable[[str], None]) -> Source:
    """The source that the flags name; without --source the embedded sample, made where missing."""
    directory = where.source
    if not directory:
        directory = str(sample.ensure(data_dir, say))
        say(
            f"no --source: using the embedded sample, GENERATED images, no photographs: {directory}"
        )
    source = open_source(directory, where.layout)
    say(f"source {directory}: layout {source.layout} ({source.why}), {len(source.refs):,} images")
    return source


def plan_build(config: BuildConfig, source: Source) -> Build:
    """Plans a data set. Raises UserError where nothing is left to build."""
    wnids = source.classes.wnids
    chosen = chosen_classes(config.classes, wnids)
    kept = frozenset(chosen) if chosen is not None else None
    by_split = plan.shuffled(source.refs, config.seed, kept, config.max_per_class)
    settings = config.image_settings()
    directory = epath.Path(config.data_dir) / source.name / settings.config_name() / schema.VERSION
    job = ShardJob(str(directory), source.name, settings, wnids)
    wanted = {schema.TRAIN: config.train_shards, schema.VALIDATION: config.val_shards}
    tasks: list[plan.ShardTask] = []
    for split in config.splits:
        refs = by_split.get(split, [])
        if refs:
            count = wanted[split] or _shard_count(refs, settings, config.shard_megabytes)
            tasks += plan.shard_tasks(refs, min(count, len(refs)))
    if not tasks:
        raise UserError(
            f"nothing to build: the source has no images for --split={config.split} "
            f"--classes={config.classes}"
        )
    selection = {
        "splits": list(config.splits),
        "classes": list(chosen) if chosen is not None else None,
        "max_per_class": config.max_per_class,
    }
    return Build(source, job, tuple(tasks), config.seed, selection)


def build(config: BuildConfig, say: Callable[[str], None]) -> epath.Path:
    """Builds, or continues, the data set that the flags describe.

    Args:
        config: the flags.
        say: prints a line.

    Returns:
        The finished data set directory.

    Raises:
        UserError: the source is not as it should be, the directory holds something else, or too
            many images cannot be read.
    """
    source = open_or_generate(config.where, config.data_dir, say)
    what = plan_build(config, source)
    directory = epath.Path(what.job.directory)
    if _is_finished(what, directory):
        say(f"already built: {directory}")
        return directory
    _claim(what, directory)
    done = {task: part for task in what.tasks if (part := what.job.finished(task))}
    todo = [task for task in what.tasks if task not in done]
    images_done = sum(len(task.refs) for task in done)
    say(
        f"building {directory}: {what.images:,} images in {len(what.tasks)} shards"
        + (f", {len(done)} of them finished before" if done else "")
    )
    progress = Progress(what.images, images_done)
    rejected = [entry for part in done.values() for entry in part.rejected]
    limit = config.max_rejected * what.images

    def watch(chunk: Chunk) -> None:
        progress.add(chunk.images)
        rejected.extend(chunk.rejected)
        if len(rejected) > limit:
            first = rejected[0]
            raise UserError(
                f"{len(rejected)} images cannot be stored, more than "
                f"--max_rejected={config.max_rejected} of {what.images:,}; the first is "
                f"{first['name']} ({first['reason']}): mend the source or allow more"
            )

    for task, part in zip(todo, _run(config, what.job, todo, watch), strict=True):
        done[task] = part
    rate = progress.close()
    finish(what, [done[task] for task in what.tasks])
    seconds = (what.images - images_done) / max(rate, 1e-9)
    say(f"built {what.images:,} images at {rate:,.0f} images/s in {duration(seconds)}: {directory}")
    if rejected:
        say(f"rejected {len(rejected)} images: see {directory / schema.MANIFEST_FILE}")
    return directory


def _run(
    config: BuildConfig,
    job: ShardJob,
    tasks: Sequence[plan.ShardTask],
    watch: Callable[[Chunk], None],
) -> Iterable[Part]:
    return engines.run_local(job, tasks, config.threads, watch)


def finish(what: Build, parts: Sequence[Part]) -> None:
    """Writes all that is not a shard, from the shards' parts, `dataset_info.json` last."""
    directory = epath.Path(what.job.directory)
    sums = PixelSums(what.job.mean_image_side)
    for part in parts:
        sums.merge(part.sums)
    arrays = sums.statistics(len(what.job.wnids)).to_arrays()
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_atomically(directory / schema.STATISTICS_FILE, content.getvalue())
    manifest = _manifest(what, parts)
    write_atomically(directory / schema.MANIFEST_FILE, manifest.to_json().encode())
    tfds_metadata.write(manifest, directory, what.job.work)
    what.job.work.rmtree()


def _manifest(what: Build, parts: Sequence[Part]) -> schema.Manifest:
    shards: dict[str, list[schema.Shard]] = {}
    for task, part in zip(what.tasks, parts, strict=True):
        shards.setdefault(task.split, []).append(part.shard)
    classes = what.source.classes
    return schema.Manifest(
        name=what.job.name,
        source={
            "layout": what.source.layout,
            "fingerprint": what.source.fingerprint(),
            "images": len(what.source.refs),
        },
        generated=what.source.generated,
        settings=what.job.settings,
        seed=what.seed,
        selection=what.selection,
        wnids=classes.wnids,
        words=classes.words,
        label_order=schema.label_order_hash(classes.wnids),
        shards={split: tuple(shards.get(split, ())) for split in schema.SPLITS},
        rejected=tuple(entry for part in parts for entry in part.rejected),
    )


def _shard_count(refs: Sequence[ImageRef], settings: schema.ImageSettings, megabytes: int) -> int:
    """How many shards of about that size a split makes, by its first images: deterministic."""
    sizes = []
    for ref in refs[:_SIZE_SAMPLE]:
        try:
            image = images.convert(ref.read(), settings)
        except images.Rejected:
            continue
        sizes.append(len(serialize(image.encoded, 0, ref.name, *image.pixels.shape[:2])))
    mean = sum(sizes) / max(len(sizes), 1)
    return max(1, round(mean * len(refs) / (megabytes * 10**6)))


def _is_finished(what: Build, directory: epath.Path) -> bool:
    if not (directory / schema.DATASET_INFO_FILE).exists():
        return False
    manifest = schema.Manifest.load(directory)
    found = {
        "source": manifest.source["fingerprint"],
        "settings": dataclasses.asdict(manifest.settings),
        "seed": manifest.seed,
        "selection": manifest.selection,
        "shards": {split: len(shards) for split, shards in manifest.shards.items() if shards},
    }
    _refuse_other(found, what, directory)
    return True


def _claim(what: Build, directory: epath.Path) -> None:
    """Makes the directory this job's own, or refuses where it is another's."""
    what.job.work.mkdir(parents=True, exist_ok=True)
    path = what.job.work / REQUEST_FILE
    if path.exists():
        _refuse_other(json.loads(path.read_text()), what, directory)
    else:
        write_atomically(path, json.dumps(what.request(), indent=1, sort_keys=True).encode())


def _refuse_other(found: dict[str, Any], what: Build, directory: epath.Path) -> None:
    wanted = what.request()
    for name, value in wanted.items():
        if found.get(name) != value:
            raise UserError(
                f"{directory} was begun with another {name} ({_short(found.get(name))}; this "
                f"command has {_short(value)}): take another --data_dir or delete it"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
