"""The flags of training, as a frozen dataclass; those of later commands are in their sub-rooms."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence

from absl import flags

from base import flag_files
from base.commandline import Settings, config_from_flags, flag
from base.errors import UserError
from base.flags_in_python import parsed
from base.spec import parse_call
from pipelines.config import PipelineConfig

# What a run folder has, by which a run's own flag file is known: see run_folder/folder.py.
FLAGS_FILE = "flags.cfg"
NET_DIR = "net"


# What does not change what is trained: a run may be continued with other values of these. Computed
# otherwise, its losses are the same but for rounding. Replicas are not among them: each normalises
# over its own part of a batch.
OTHERWISE_COMPUTED = frozenset({"jit_compile", "deterministic", "eval_batch_size"})
NOT_TRAINED = OTHERWISE_COMPUTED | {
    *("runs_dir", "experiment", "note", "resume", "data_dir", "geometry", "size"),
    *("cache", "map_threads", "checkpoint_minutes", "keep_checkpoints", "log_steps"),
    *("diagnose_steps", "loggers", "tensorboard", "tensorboard_images", "profile_steps"),
}

# What commands say of their flag --run.
RUN_HELP = (
    "The run: its folder, an experiment's for its newest run, or EXPERIMENT/NUMBER or EXPERIMENT "
    "in runs/."
)


@dataclasses.dataclass(frozen=True)
class TrainConfig(Settings):
    """Everything that a run depends on. Each field is a flag; its help text says what it means."""

    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)

    net: str = flag(
        "",
        "The net, a name that `python -m nets` lists, or with options: 'resnet10(width=16)'.",
        group="Net and devices",
        common=True,
    )
    runs_dir: str = flag("runs", "Where run folders go.", group="Run folder", common=True)
    experiment: str = flag(
        "",
        "Name of the experiment: its folder in --runs_dir (default: the name of the flag file, "
        "else the net's).",
        common=True,
    )
    # Whether the experiment's name is such a default: earlier versions named it by the net alone.
    experiment_is_default: bool = dataclasses.field(default=False, compare=False, repr=False)
    note: str = flag("", "The run's purpose, for the first line of its notes.md.")
    resume: bool = flag(
        True, "Continue the experiment's last run if it was interrupted and trains the same."
    )
    replicas: str = flag(
        "auto",
        "auto: every GPU, else the CPU. N: that many GPUs. cpu:N.",
        group="Net and devices",
        common=True,
    )
    distribution: str = flag(
        "mirrored",
        "mirrored: one machine. multi_worker: the machines that TF_CONFIG names; --runs_dir is on "
        "a disk that they share.",
        choices=("mirrored", "multi_worker"),
    )
    jit_compile: str = flag(
        "auto",
        "Whether XLA compiles the net and the optimizer; auto: on GPUs that it has kernels for.",
        choices=("auto", "true", "false"),
    )
    deterministic: bool = flag(
        False,
        "On GPUs too, only kernels that repeat to the bit, which are slower; the CPU's always do.",
    )
    gradient_exchange: str = flag(
        "float32",
        "What gradients are sent in between replicas; bfloat16 halves the bytes and rounds them.",
        choices=("float32", "bfloat16"),
    )
    precision: str = flag(
        "float32",
        "Arithmetic of the net; the variables are float32 in any case.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )

    init_from: str = flag(
        "",
        "Begin with these weights: a run's best ones, by its name as --run has it, a checkpoint's, "
        "or a file of published weights (as import_weights.py reads).",
        group="Starting from weights",
        common=True,
    )
    new_head: bool = flag(
        False,
        "Of --init_from, leave out the last layer and the auxiliary heads, which begin anew: for "
        "other classes.",
    )
    freeze: str = flag(
        "",
        "A regular expression, 'conv1$|res2': layers whose names begin so (re.match) are not "
        "trained: no gradient, no decay, no optimizer's slots. Their batch normalisation uses its "
        "moving statistics, as in evaluations, and these do not move.",
    )
    head_rate_factor: float = flag(
        1.0,
        "What multiplies the learning rate of the last layer and of the auxiliary heads, beside "
        "--bias_rate_factor.",
        within="[0, inf)",
    )

    train_epochs: float = flag(
        90.0,
        "Length of the training, in epochs.",
        group="Optimisation",
        common=True,
        within="[0, inf)",
    )
    train_steps: int = flag(
        0, "Length of the training, in steps of the global batch; 0: epochs.", within="[0, 1e12]"
    )
    optimizer: str = flag("sgd(momentum=0.9)", "The optimizer, with literal arguments.")
    learning_rate: float = flag(
        0.01, "Base learning rate, for the global batch.", common=True, within="[0, inf)"
    )
    schedule: str = flag("constant()", "The learning rate's factor over the run.")
    warmup_epochs: float = flag(
        0.0, "Linear rise of the learning rate from 0, in epochs.", within="[0, inf)"
    )
    layer_decay: float = flag(
        1.0,
        "What multiplies the learning rate from each block of layers to the one before it: the "
        "last layer has the whole rate, the block below it this share, the next its square. A "
        "block has the layers whose names are alike up to their number: res2a, inception_4a.",
        within="(0, 1]",
    )
    bias_rate_factor: float = flag(
        1.0, "What multiplies the biases' learning rate (Caffe: 2).", within="[0, inf)"
    )
    clip_norm: float = flag(
        0.0, "Largest global norm of the whole batch's gradient; 0: any.", within="[0, inf)"
    )
    accumulation_steps: int = flag(
        1,
        "Parts in which a replica takes its share of the batch, one after the other.",
        within="[1, 1e6]",
    )
    ema_decay: float = flag(
        0.0,
        "Average the weights by this decay a step, at most (1 + step) / (10 + step), and evaluate "
        "the average; 0: do not.",
        within="[0, 1)",
    )

    loss: str = flag(
        "softmax()",
        "softmax(): the classes exclude each other. sigmoid(): binary cross-entropy of each class.",
        group="Loss and regularisation",
    )
    label_smoothing: float = flag(
        0.0, "Weight of the uniform distribution in the target.", within="[0, 1]"
    )
    teacher: str = flag(
        "",
        "A run, by its name as --run has it, whose best weights teach the net besides: in "
        "inference mode, on the same images, normalised by the teacher's own --eval_device_map.",
    )
    distillation: str = flag(
        "hard()",
        "How --teacher teaches. hard(): its likeliest class is the label. soft(): by its "
        "probabilities. A head of the net's own for it learns so, else the logits.",
    )
    weight_decay: float = flag(
        0.0,
        "The papers' L2 term in the loss, weight_decay/2 * sum(w^2), on what --decayed says.",
        within="[0, inf)",
    )
    decoupled_weight_decay: float = flag(
        0.0,
        "Decay outside of the gradient (AdamW's), times the learning rate, on the same.",
        within="[0, inf)",
    )
    decayed: str = flag(
        "net",
        "net: the variables that the net's reference code decays. kernels: of these, the kernels "
        "of convolutions and fully connected layers alone.",
        choices=("net", "kernels"),
    )
    on_non_finite: str = flag(
        "stop",
        "What a loss or gradient that is not finite does: stop, or skip the step, which then "
        "changes nothing. Either way the batch is saved and the images are named.",
        choices=("stop", "skip"),
        group="Stopping, evaluation and checkpoints",
    )
    stop_at_top1: float = flag(
        0.0, "Stop at this validation top-1 accuracy, a fraction; 0: never.", within="[0, 1]"
    )
    stop_after_evaluations: int = flag(
        0,
        "Stop after so many evaluations without a new best; 0: never.",
        within="[0, 1e9]",
    )

    eval_epochs: float = flag(
        1.0, "Epochs between two evaluations; the end is always evaluated.", within="(0, inf)"
    )
    checkpoint_minutes: float = flag(
        30.0,
        "Minutes between two checkpoints, beside the one after each evaluation.",
        within="(0, inf)",
    )
    keep_checkpoints: int = flag(
        2, "How many of the last checkpoints are kept, beside the best.", within="[1, 1e9]"
    )

    log_steps: int = flag(
        50,
        "Steps between two lines of train metrics.",
        group="Logging and diagnosis",
        within="[1, 1e9]",
    )
    diagnose_steps: int = flag(
        1000,
        "After this step, say why the loss may still be that of guessing; 0: do not look.",
        within="[0, 1e12]",
    )
    loggers: tuple[str, ...] = flag(
        (),
        "Where metrics go beside metrics.jsonl: tensorboard, wandb, mlflow, separated by commas.",
    )
    tensorboard: bool = flag(False, "The same as --loggers=tensorboard.")
    tensorboard_images: int = flag(
        0,
        "How many images of the first batch, as the net sees them, go to TensorBoard.",
        within="[0, 1e6]",
    )
    profile_steps: str = flag(
        "", "FIRST:LAST, the steps of which a TensorBoard profile is written; empty: none."
    )

    def __post_init__(self) -> None:
        """Refuses what no run can use."""
        super().__post_init__()
        self.profiled_steps()
        if not (self.train_steps or self.train_epochs):
            raise UserError("--train_steps or --train_epochs must be above 0")
        if self.new_head and not self.init_from:
            raise UserError("--new_head leaves out a part of --init_from, which names nothing")
        try:
            re.compile(self.freeze)
        except re.error as error:
            raise UserError(f"--freeze={self.freeze} is no regular expression: {error}") from None

    def profiled_steps(self) -> tuple[int, int] | None:
        """The steps before the profile begins, and when it ends. Raises UserError for no such."""
        if not self.profile_steps:
            return None
        first, _, last = self.profile_steps.partition(":")
        if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last)):
            raise UserError(f"--profile_steps={self.profile_steps} is not FIRST:LAST, as 10:20")
        return int(first) - 1, int(last)


@dataclasses.dataclass(frozen=True)
class TrainedConfig:
    """Which of a run's weights."""

    checkpoint: str = flag(
        "best",
        "Which checkpoint of the run.",
        choices=("best", "last"),
        group="Which of its weights",
    )
    weights: str = flag(
        "auto",
        "averaged: those of --ema_decay. plain: those that were trained. auto: the averaged ones "
        "where there are any.",
        choices=("auto", "averaged", "plain"),
    )


def read_flag_file(path: str | os.PathLike[str]) -> TrainConfig:
    """A flag file's configuration. Raises UserError where `parse` does."""
    return parse([f"--flagfile={os.fspath(path)}"])


def parse(arguments: Sequence[str]) -> TrainConfig:
    """The configuration that train.py would read from these arguments.

    The flags of the running command are left alone. Raises UserError for what is no flag, and for
    a flag file that cannot be read.
    """
    return from_flags(parsed(TrainConfig, arguments))


def from_flags(values: flags.FlagValues = flags.FLAGS) -> TrainConfig:
    """The parsed flags as a configuration whose experiment has a name.

    Where --experiment is not given, it is named after the last flag file of the command line, of
    which an experiment is made: `resnet18` for flags/resnet18.cfg. A run's own flags.cfg means
    that run's experiment; without a flag file the net gives the name.
    """
    config = config_from_flags(TrainConfig, values)
    if config.experiment:
        return config
    file = pathlib.Path(values["flagfile"].value) if values["flagfile"].value else None
    if file is None:
        name = parse_call(config.net).name if config.net else ""
    elif file.name == FLAGS_FILE:
        name = _experiment_of(file)
    else:
        name = file.stem
    return dataclasses.replace(config, experiment=name, experiment_is_default=True)


def _experiment_of(file: pathlib.Path) -> str:
    """The experiment of a run, from its flags.cfg: its folder as seen from the run's --runs_dir."""
    run = file.resolve().parent
    if not (run / NET_DIR).is_dir() and not run.name.isdecimal():
        return run.name  # no run folder, but what somebody has taken out of one
    folder = run.parent
    runs_dir = flag_files.value_in(flag_files.read(file), "runs_dir")
    if runs_dir:
        try:
            return folder.relative_to(pathlib.Path(runs_dir).resolve()).as_posix()
        except ValueError:
            pass  # it was moved, or is looked at from elsewhere
    return folder.name
