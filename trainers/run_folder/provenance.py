"""What a run came from, as its environment.json and data.json keep it: code, machine, data."""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pipelines.config import Phase
from trainers.run_folder.files import ChannelStatistics, Constraints, Cuda, Data, Environment

# It imports TensorFlow, which the commands that only read run folders do not need.
if TYPE_CHECKING:
    from pipelines.input_pipeline import InputPipeline

# What results depend on: what computes, decodes and resizes.
PACKAGES = (
    *("tensorflow", "keras", "numpy", "scipy", "numba", "pillow", "simplejpeg"),
    *("tensorflow-datasets", "h5py", "ml-dtypes"),
)
# Of the environment's variables, those that say how TensorFlow computes. TF_CONFIG names hosts, and
# Terraform's variables, which may be secret, begin with TF_ too.
_VARIABLES = re.compile(
    r"TF_(AUTO|CPP|CPU|CUBLAS|CUBLASLT|CUDA|CUDNN|DETERMINISTIC|DISABLE|ENABLE|FORCE|GPU|MKL|NUM|"
    r"ONEDNN|TENSORRT|USE|XLA)_\w+|XLA_FLAGS|NVIDIA_TF32_OVERRIDE|CUDA_VISIBLE_DEVICES"
)
_DRIVER = pathlib.Path("/proc/driver/nvidia/version")
CONSTRAINTS = pathlib.Path(__file__).resolve().parents[2] / "constraints.txt"

# Of an uncommitted change so much is kept: more is not source, and every run has its own copy.
MAX_DIFF_CHARACTERS = 200_000


def describe_environment() -> Environment:
    """Versions, devices, variables and the code's commit; no user name, host name or path of ours.

    `git_uncommitted` is `git diff HEAD`; where it is longer than MAX_DIFF_CHARACTERS it is cut
    after a whole line, and `git_uncommitted_cut` says so.
    """
    import tensorflow as tf

    kept, cut = _git("diff", "HEAD"), None
    if kept is not None and len(kept) > MAX_DIFF_CHARACTERS:
        whole = len(kept)
        kept = kept[: kept.rfind("\n", 0, MAX_DIFF_CHARACTERS) + 1]
        cut = f"the first {len(kept)} of {whole} characters are kept"
    gpus = tf.config.list_physical_devices("GPU")
    untracked = (_git("ls-files", "--others", "--exclude-standard") or "").splitlines()
    return Environment(
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        cpu=_cpu_model(),
        memory_gib=_memory_gib(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        constraints=describe_constraints(CONSTRAINTS),
        variables={
            name: value for name, value in sorted(os.environ.items()) if _VARIABLES.fullmatch(name)
        },
        gpus=tuple(
            tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in gpus
        ),
        cuda=_describe_cuda(gpus) if gpus else None,
        git_commit=_git("rev-parse", "HEAD"),
        git_untracked=tuple(untracked),
        git_uncommitted=kept,
        git_uncommitted_cut=cut,
    )


def _describe_cuda(gpus: Sequence[Any]) -> Cuda:
    """Versions as they are installed, else those that TensorFlow was built for."""
    import tensorflow as tf

    built = tf.sysconfig.get_build_info()
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capabilities = [each.get("compute_capability", ()) for each in details]
    try:
        driver = re.search(r"\s(\d+\.[\d.]+)\s", _DRIVER.read_text())
    except OSError:
        driver = None
    return Cuda(
        driver=driver[1] if driver else None,
        cuda=_version("nvidia-cuda-runtime-cu12") or built.get("cuda_version"),
        cudnn=_version("nvidia-cudnn-cu12") or built.get("cudnn_version"),
        nccl=_version("nvidia-nccl-cu12"),
        compute_capabilities=tuple(".".join(map(str, each)) for each in capabilities),
        tf32=tf.config.experimental.tensor_float_32_execution_enabled(),
    )


def describe_constraints(path: pathlib.Path) -> Constraints | None:
    """Whether the installed packages are those that a file of constraints pins; None without it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    lines = (line.partition("#")[0].strip() for line in content.decode().splitlines())
    differing = {}
    for name, wanted in (line.split("==") for line in lines if line):
        installed = _version(name) or "none"
        if installed != wanted:
            differing[name] = f"{installed} instead of {wanted}"
    return Constraints(sha256=hashlib.sha256(content).hexdigest(), differing=differing)


def describe_data(pipeline: InputPipeline) -> Data:
    """What a run is trained on, in so far as the data set says, and what its net is given."""
    dataset = pipeline.dataset
    sizes = {str(phase): pipeline.chains(phase).image_size for phase in Phase}
    statistics, manifest = dataset.statistics, dataset.manifest
    made: dict[str, Any] = {}
    if statistics is not None:
        made["statistics"] = ChannelStatistics(
            channel_mean=tuple(statistics.channel_mean.tolist()),
            channel_std=tuple(statistics.channel_std.tolist()),
        )
    if manifest is not None:
        made |= {
            "name": manifest.name,
            "config": manifest.settings.config_name(),
            "settings": manifest.settings,
            "generated": manifest.generated,
            "manifest_sha256": manifest.sha256,
        }
    return Data(
        label_order=dataset.label_order,
        num_classes=dataset.num_classes,
        wnids=tuple(dataset.wnids),
        words=tuple(dataset.words),
        records={split: dataset.num_records(split) for split in dataset.shards},
        image_size=dict(sizes),
        **made,
    )


def _version(package: str) -> str | None:
    """An installed package's version; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git answers about the workspace; None outside a checkout, or without git."""
    root = pathlib.Path(__file__).resolve().parents[2]
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.rstrip("\n")


def _cpu_model() -> str | None:
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


def _memory_gib() -> float | None:
    """The machine's memory in GiB, where the system tells it."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None
