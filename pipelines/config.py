"""The flags of the input pipeline, as one frozen dataclass."""

import dataclasses
import enum

from base.commandline import Settings, flag
from base.errors import UserError
from base.parallel import usable_cores
from data_prep import schema

RECORDS = "records"
SYNTHETIC = "synthetic"

FAST = "fast"
ACCURATE = "accurate"

ALL_SHARDS = "all_shards"
OWN_SHARDS = "own_shards"

NO_CACHE = "none"
IN_MEMORY = "memory"


class Phase(enum.StrEnum):
    """What batches are for; its flags are `<phase>_map` and `<phase>_device_map`."""

    TRAIN = "train"
    EVAL = "eval"


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Settings):
    """Everything that the batches depend on. Each field is a flag; its help says what it means."""

    data_dir: str = flag(
        "data",
        "The data set: a TensorFlow Datasets directory, or a parent that holds exactly one.",
        group="Data",
        common=True,
    )
    data: str = flag(
        RECORDS,
        "records: the data set in --data_dir. synthetic: one random batch again and again, "
        "which costs nothing to make, to measure the training step alone.",
        choices=(RECORDS, SYNTHETIC),
    )
    synthetic_classes: int = flag(
        schema.ILSVRC2012_CLASSES,
        "Number of classes of --data=synthetic.",
        within="[1, 1e9]",
    )
    geometry: str = flag(
        "", "Refuse a data set with another geometry; empty: any.", choices=("", *schema.GEOMETRIES)
    )
    size: int = flag(
        0, "Refuse a data set with another stored size, in pixels; 0: any.", within="[0, 65500]"
    )
    classes: tuple[str, ...] = flag(
        (),
        "Only these classes: WNIDs separated by commas, how many (the first ones), or a file of "
        "WNIDs. Labels become 0..N-1.",
    )
    seed: int = flag(
        0, "Seed of the order, of every augmentation, and of the net.", within="[0, 4294967295]"
    )
    plugins: tuple[str, ...] = flag(
        (),
        "Python files or packages with nets (NETS), map functions, schedules, optimizers and "
        "losses of one's own, separated by commas. A run keeps copies of them.",
    )

    train_batch_size: int = flag(
        128,
        "Images a training step, over all replicas.",
        group="Batches and augmentation",
        common=True,
        within="[1, 1e9]",
    )
    train_map: str = flag(
        "decode_random_crop(224)|random_flip", "Host chain of training: per example, to uint8."
    )
    train_sizes: tuple[str, ...] = flag(
        (), "EPOCH:SIZE,...: what {size} in --train_map is from that epoch on: 0:160,30:192."
    )
    train_device_map: str = flag("subtract_mean", "Device chain of training: per batch, float32.")
    repeated_augmentation: int = flag(
        1,
        "How often each image comes in a global batch, drawn for anew each time: a batch has fewer "
        "images, and an epoch, of as many steps, only this part of them.",
        within="[1, 1000]",
    )
    overfit_batches: int = flag(
        0,
        "Train on the first N batches only, the same pixels every epoch; 0: on everything.",
        within="[0, 1e9]",
    )
    eval_batch_size: int = flag(
        128, "Images an evaluation step, over all replicas.", within="[1, 1e9]"
    )
    eval_map: str = flag("decode_center_crop(224)", "Host chain of evaluation.")
    eval_device_map: str = flag("subtract_mean", "Device chain of evaluation.")

    shuffle_buffer_mb: int = flag(
        256,
        "Memory for shuffling serialized records, in MiB; 0: stored order within each shard.",
        group="Reading and decoding",
        within="[0, 1e9]",
    )
    host_reading: str = flag(
        ALL_SHARDS,
        "On several machines: all_shards, each reads every record and decodes its part of each "
        "batch, so that the batches are those of one machine. own_shards: each reads only shards "
        "of its own, in an order that depends on the number of machines.",
        choices=(ALL_SHARDS, OWN_SHARDS),
    )

    cache: str = flag(
        NO_CACHE,
        "Where serialized records are kept after the first read: none, memory, or a directory "
        "on a fast disk to which the shards are copied.",
    )
    decoding: str = flag(
        FAST,
        "JPEG decoding. accurate: as Pillow does. fast: a quicker transform and plain chroma.",
        choices=(FAST, ACCURATE),
    )
    map_threads: int = flag(
        0,
        "How many calls of the host chain run at once; 0: one for each core.",
        within="[0, 4096]",
    )

    def __post_init__(self) -> None:
        """Refuses what no pipeline can use."""
        super().__post_init__()
        if bool(self.train_sizes) != ("{size}" in self.train_map):
            raise UserError(
                f"--train_sizes={','.join(self.train_sizes)} says what {{size}} in --train_map is: "
                f"there must be both or none, and --train_map is {self.train_map}"
            )
        epochs = [epoch for epoch, _ in self.sizes_by_epoch()]
        if epochs and (epochs[0] != 0 or epochs != sorted(set(epochs))):
            raise UserError(
                f"--train_sizes={','.join(self.train_sizes)} must begin at epoch 0 and go on with "
                "later epochs"
            )
        if not self.cache:
            raise UserError("--cache is empty: it is none, memory or a directory")

    def sizes_by_epoch(self) -> list[tuple[int, int]]:
        """--train_sizes as (first epoch, size in pixels). Raises UserError where it is no list."""
        pairs = []
        for text in self.train_sizes:
            epoch, _, size = text.partition(":")
            if not (epoch.isdigit() and size.isdigit() and int(size)):
                raise UserError(f"--train_sizes: {text!r} is not EPOCH:SIZE")
            pairs.append((int(epoch), int(size)))
        return pairs

    def host_map(self, phase: Phase, epoch: int = 0) -> str:
        """The host chain of a phase; that of training with its {size} in an epoch."""
        if phase is Phase.EVAL:
            return self.eval_map
        sizes = [size for first, size in self.sizes_by_epoch() if first <= epoch]
        return self.train_map.replace("{size}", str(sizes[-1])) if sizes else self.train_map

    def device_map(self, phase: Phase) -> str:
        """The device chain of a phase."""
        return self.eval_device_map if phase is Phase.EVAL else self.train_device_map

    @property
    def threads(self) -> int:
        """How many calls of the host chain run at once."""
        return self.map_threads or usable_cores()
