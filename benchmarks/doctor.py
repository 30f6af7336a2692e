"""What this machine has for training, what it lacks, and what will bind: `make doctor`.

    python benchmarks/doctor.py --data_dir=data

Each line is a finding; where something can be mended, the remedy follows. It trains nothing and
changes nothing; a scratch file of some megabytes is written to --data_dir and removed.
"""

import concurrent.futures
import ctypes
import dataclasses
import glob
import io
import os
import pathlib
import shutil
import site
import subprocess
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import simplejpeg
from PIL import Image

from base.commandline import Settings, config_from_flags, flag, run
from base.parallel import usable_cores
from data_prep.source import disks, sample_images

# What TensorFlow opens before it uses a GPU; without one of them it sees none.
DRIVER_LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")
CUDA_LIBRARIES = (
    *("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12", "libcufft.so.11"),
    *("libcusolver.so.11", "libcusparse.so.12", "libcudnn.so.9", "libnccl.so.2"),
)
# Images that nets take on one H200 (docs/gpu.md), and the bytes of a stored one.
TAKEN = {"alexnet": 20_774, "resnet50_v1_5": 6_429}
STORED_BYTES = 28 * 1024
_SCRATCH = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class DoctorConfig(Settings):
    """What is looked at."""

    data_dir: str = flag("data", "Where data sets are, or will be.")
    seconds: float = flag(2.0, "How long decoding is measured.", within="(0, inf)")


def main() -> None:
    """Prints the findings."""
    config = config_from_flags(DoctorConfig)
    for lines in (devices(), host(), disk(config.data_dir), binding(config)):
        for line in lines:
            print(line, flush=True)


def devices() -> Iterator[str]:
    """The GPUs: the driver's, TensorFlow's, and why these differ."""
    import tensorflow as tf

    from trainers.training.devices import gpus

    built = tf.sysconfig.get_build_info()
    yield (
        f"TensorFlow {tf.__version__}, built for CUDA {built.get('cuda_version', 'none')}, "
        f"cuDNN {built.get('cudnn_version', 'none')}"
    )
    for line in driver():
        yield f"driver: {line}"
    seen = tf.config.list_physical_devices("GPU")
    for gpu in seen:
        details = tf.config.experimental.get_device_details(gpu)
        served = (
            "XLA compiles for it"
            if gpus.served_by_xla(gpu)
            else ("TensorFlow has no kernels for it: use NVIDIA's container (docs/gpu.md)")
        )
        capability = ".".join(map(str, details.get("compute_capability", ("?",))))
        name = details.get("device_name", gpu.name)
        yield f"GPU: {name}, compute capability {capability}: {served}"
    if seen:
        return
    if not glob.glob(gpus.NVIDIA_DEVICES):
        yield "GPU: none; the CPU trains. Small nets do: flags/tiny/"
        return
    yield f"GPU: {gpus.unseen() or 'hidden by CUDA_VISIBLE_DEVICES'}"
    for name in missing(DRIVER_LIBRARIES):
        yield f"  {name} is not found: it comes with NVIDIA's driver"
    for name in missing(CUDA_LIBRARIES):
        yield f"  {name} is not found: pip install -e '.[gpu]'"


def driver() -> list[str]:
    """What NVIDIA's driver says of its GPUs, a line each; nothing where there is none."""
    fields = "name,driver_version,memory.total"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    text = done.stdout if done.returncode == 0 else done.stdout or done.stderr
    return [line.strip() for line in text.splitlines() if line.strip()]


def missing(names: tuple[str, ...]) -> list[str]:
    """Those libraries that neither the loader finds nor pip has brought."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    brought = {
        pathlib.Path(path).name
        for folder in folders
        for path in glob.glob(f"{glob.escape(folder)}/nvidia/*/lib/*.so.*")
    }
    return [name for name in names if name not in brought and not _opens(name)]


def _opens(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def host() -> Iterator[str]:
    """Cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    remedy = "" if memory >= 8 else ": little; --shuffle_buffer_mb and --train_batch_size take most"
    yield f"host: {usable_cores()} cores, {memory:.0f} GiB of memory{remedy}"


def disk(data_dir: str) -> Iterator[str]:
    """The disk of the data sets: its kind, what is free, and how quickly it is read in order."""
    path = pathlib.Path(data_dir).absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free / 2**30
    slow = disks.slow_to_jump(str(path))
    kind = (
        f"{slow}: build with --reading=auto, train with --cache=memory"
        if slow
        else "no spinning disk"
    )
    need = "" if free >= 50 else ": all of ILSVRC at a short side of 256 takes 40 GiB"
    yield f"disk of {path}: {kind}; {free:.0f} GiB free{need}"
    try:
        rate = read_rate(path)
    except OSError as error:
        yield f"  not measured: {error.strerror}: choose a --data_dir that can be written to"
        return
    yield f"  reads {rate / 2**20:,.0f} MiB/s in order: {rate / STORED_BYTES:,.0f} stored images/s"


def read_rate(folder: pathlib.Path) -> float:
    """Bytes a second that a file just written is read with, past the page cache where it can be."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        block = os.urandom(2**20)
        for _ in range(_SCRATCH // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        start = time.perf_counter()
        while file.read(len(block)):
            pass
        return _SCRATCH / (time.perf_counter() - start)


def binding(config: DoctorConfig) -> Iterator[str]:
    """How many images the cores decode, beside what nets take on a GPU."""
    rate = decoding_rate(config.seconds)
    yield f"decoding: {rate:,.0f} images/s of a short side of 256, whole, on {usable_cores()} cores"
    for net, taken in TAKEN.items():
        if rate < taken:
            yield (
                f"  less than the {taken:,} that {net} takes on one H200: the input will bind "
                "there; pipelines/benchmark.py says what helps"
            )
        else:
            yield f"  enough for {net} on one H200, which takes {taken:,}"


def decoding_rate(seconds: float) -> float:
    """Images per second that libjpeg-turbo decodes on all cores, stored as the job does."""
    drawn = Image.fromarray(sample_images.draw(0, np.random.default_rng(0)))
    drawn.thumbnail((10**6, 256))
    buffer = io.BytesIO()
    drawn.save(buffer, "JPEG", quality=90)
    jpeg = buffer.getvalue()

    def decode(until: float) -> int:
        count = 0
        while time.perf_counter() < until:
            simplejpeg.decode_jpeg(jpeg, fastdct=True, fastupsample=True)
            count += 1
        return count

    cores, start = usable_cores(), time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        decoded = sum(pool.map(decode, [start + seconds] * cores))
    return decoded / (time.perf_counter() - start)


if __name__ == "__main__":
    run(main, configs=[DoctorConfig], gpus=True)
