"""The flags of this room's commands, as frozen dataclasses."""

import dataclasses

from base.commandline import Settings, flag
from base.errors import UserError
from base.parallel import usable_cores
from data_prep.layouts.opening import LAYOUTS
from data_prep.schema import ENCODINGS, GEOMETRIES, SPLITS, ImageSettings
from data_prep.source.remarks import ALLOWED


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """Where the images come from."""

    source: str = flag(
        "",
        "directory, tar or zip of the images; empty: the embedded sample, which is generated",
        group="Source",
        common=True,
    )
    layout: str = flag("auto", "how the source is laid out", choices=("auto", *LAYOUTS))
    allow: tuple[str, ...] = flag(
        (),
        "what does not stop the job, separated by commas: " + ", ".join(ALLOWED),
    )

    def __post_init__(self) -> None:
        for kind in self.allow:
            if kind not in ALLOWED:
                raise UserError(f"--allow={kind} is none of {', '.join(ALLOWED)}")


@dataclasses.dataclass(frozen=True)
class BuildConfig(Settings):
    """The flags of build_tfrecords.py."""

    where: SourceConfig = dataclasses.field(default_factory=SourceConfig)
    data_dir: str = flag(
        "data",
        "where the data set directory goes: <data_dir>/<name>/<config>/",
        group="Data set",
        common=True,
    )
    split: str = flag("all", "which split to build", choices=("all", *SPLITS))
    geometry: str = flag(
        "short_side",
        "short_side: the shorter side becomes --size; square_crop: then the central square; warp: "
        "both sides become --size; longest_side: the longer side is at most --size; none",
        choices=GEOMETRIES,
        group="Stored images",
        common=True,
    )
    size: int = flag(256, "pixels, see --geometry", common=True, within="[1, 65500]")
    encoding: str = flag("jpeg", "how pixels are stored", choices=ENCODINGS)
    quality: int = flag(90, "JPEG quality, 1 to 100", within="[1, 100]")
    chroma: str = flag("420", "JPEG chroma subsampling", choices=("420", "444"))
    restart_markers: bool = flag(
        True,
        "encode JPEGs so that a crop can be decoded without the rest of its image: trainings read "
        "up to twice as fast, files are 4 % larger, pixels the same",
    )
    exif: bool = flag(False, "honour the EXIF orientation (ILSVRC's convention ignores it)")
    truncated: str = flag(
        "reject",
        "truncated images: reject them, or repair (store them with the missing part gray)",
        choices=("reject", "repair"),
    )
    max_rejected: float = flag(
        0.001, "fraction of unreadable images that stops the job", within="[0, 1]"
    )
    train_shards: int = flag(
        0,
        "train shards; 0: as many as make about --shard_megabytes each",
        group="Shards",
        within="[0, 99999]",
    )
    val_shards: int = flag(0, "validation shards; 0: as for --train_shards", within="[0, 99999]")
    shard_megabytes: int = flag(128, "target size of a shard, in 10^6 bytes", within="[1, 1e6]")
    seed: int = flag(0, "of the global shuffle", within="[-9e18, 9e18]")
    classes: str = flag(
        "",
        "subset: WNIDs separated by commas, how many (the first ones), or a file of WNIDs",
        group="Subsets",
    )
    max_per_class: int = flag(
        0, "subset: images of each class in each split; 0: all", within="[0, 1e9]"
    )
    holdout: int = flag(
        0,
        "to tune on: so many of each class's training images become the validation split, and the "
        "source's validation images are left out; 0: none",
        within="[0, 1e9]",
    )
    engine: str = flag(
        "local", "what runs the shard tasks", choices=("local", "beam", "dask"), group="How it runs"
    )
    beam_options: str = flag("", "Apache Beam pipeline options, as on its command line")
    dask_scheduler: str = flag("", "address of the scheduler, with --engine=dask")
    workers: int = flag(0, "threads of the local engine; 0: one per core", within="[0, 4096]")
    reading: str = flag(
        "auto",
        "random: each shard's images where they lie; sequential: the source once in its own order, "
        "which takes twice the room for a while; auto: sequential on spinning disks and network "
        "file systems",
        choices=("auto", "random", "sequential"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reading == "sequential" and self.engine != "local":
            raise UserError(
                f"--reading=sequential is one machine's way: leave it out with "
                f"--engine={self.engine}"
            )

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits to build."""
        return SPLITS if self.split == "all" else (self.split,)

    @property
    def threads(self) -> int:
        """How many threads the local engine takes."""
        return self.workers or usable_cores()

    def image_settings(self) -> ImageSettings:
        """How every image is made."""
        return ImageSettings(
            geometry=self.geometry,
            size=self.size,
            encoding=self.encoding,
            quality=self.quality,
            chroma=self.chroma,
            exif=self.exif,
            repair=self.truncated == "repair",
            restart_markers=self.restart_markers and self.encoding == "jpeg",
        )
