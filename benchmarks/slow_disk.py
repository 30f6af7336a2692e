"""Measures the offline job on a slow disk: read at random, and once in its own order.

    python benchmarks/slow_disk.py --images=20000

It makes a source in the form of the official tars, of small images, and a library in C that is
preloaded: for files of the source it charges each read 8 ms where it begins more than a megabyte
from where the last one ended, and its bytes at 150 MB/s, as a spinning disk would. Beside the two
ways of reading stand what no job can beat: the bytes at that rate, and the same job without the
library. The times are from the line `building` to the line `built`; start-up and the listing are
not in them. A C compiler is needed.
"""

import dataclasses
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from base import commandline
from base.commandline import flag
from base.errors import UserError
from data_prep.source import sample
from data_prep.source.official import DEVKIT, TRAIN_TAR, VALIDATION_TAR

RATE = 150 * 10**6  # bytes a second, as in the library
_CLASSES = 1000
_PICTURES = 64  # different ones, of which the source is made

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* One disk: it is busy until `free_at`, and its head is at `head` of file `inode`. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double free_at;
static ino_t inode;
static off_t head;
static struct { ino_t inode; int slow; } known[4096];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int is_slow(int fd, ino_t number) {
    unsigned at = number % 4096;
    if (known[at].inode != number) {
        char link[64], path[PATH_MAX];
        const char *folder = getenv("SLOW_FOLDER");
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        known[at].slow = folder && strncmp(path, folder, strlen(folder)) == 0;
        known[at].inode = number;
    }
    return known[at].slow;
}

static void charge(int fd, off_t offset, ssize_t bytes) {
    struct stat file;
    if (bytes <= 0 || fstat(fd, &file) || !S_ISREG(file.st_mode)) return;
    pthread_mutex_lock(&lock);
    double wait = 0;
    if (is_slow(fd, file.st_ino)) {
        off_t jump = offset > head ? offset - head : head - offset;
        double cost = bytes / 150e6 + (file.st_ino != inode || jump > 1000000 ? 8e-3 : 0);
        double begin = now();
        free_at = (free_at > begin ? free_at : begin) + cost;
        inode = file.st_ino;
        head = offset + bytes;
        wait = free_at - begin;
    }
    pthread_mutex_unlock(&lock);
    if (wait > 1e-4) {
        struct timespec t = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
        nanosleep(&t, NULL);
    }
}

ssize_t read(int fd, void *to, size_t size) {
    static ssize_t (*next)(int, void *, size_t);
    if (!next) next = dlsym(RTLD_NEXT, "read");
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t bytes = next(fd, to, size);
    if (offset >= 0) charge(fd, offset, bytes);
    return bytes;
}

ssize_t pread(int fd, void *to, size_t size, off_t offset) {
    static ssize_t (*next)(int, void *, size_t, off_t);
    if (!next) next = dlsym(RTLD_NEXT, "pread64");
    ssize_t bytes = next(fd, to, size, offset);
    charge(fd, offset, bytes);
    return bytes;
}

ssize_t pread64(int fd, void *to, size_t size, off64_t offset) {
    return pread(fd, to, size, offset);
}
"""


@dataclasses.dataclass(frozen=True)
class SlowDiskConfig:
    """The flags of slow_disk.py."""

    images: int = flag(20_000, "how many images the source has, at least 2000")
    width: int = flag(250, "of each in pixels; its height is three quarters of that")
    size: int = flag(128, "--size of the job")
    random_images: int = flag(
        0, "images read at random, and the time for all worked out from theirs; 0: all"
    )
    work: str = flag("", "folder that is made for all this; empty: a temporary one")


def main() -> None:
    """Prints the times."""
    config = commandline.config_from_flags(SlowDiskConfig)
    if config.images < 2 * _CLASSES:
        raise UserError(f"--images={config.images}: at least {2 * _CLASSES} are wanted")
    folder = pathlib.Path(config.work or tempfile.mkdtemp(prefix="slow_disk")).resolve()
    try:
        measure(config, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(config: SlowDiskConfig, folder: pathlib.Path) -> None:
    """Makes the source, and runs the job on it three times."""
    source = folder / "source"
    source.mkdir(parents=True)
    make_source(source, config.images, config.width)
    environment = slow(folder, source)
    read = sum(path.stat().st_size for path in source.glob("*.tar")) / RATE
    converted = seconds(config, folder, source, "random", dict(os.environ))
    in_order = seconds(config, folder, source, "sequential", environment)
    at_random, note = seconds_at_random(config, folder, source, environment)
    bound = max(read, converted)
    print(f"{config.images:,} images; seconds")
    print(f"{read:8.1f}  the bytes at {RATE // 10**6} MB/s")
    print(f"{converted:8.1f}  the job on a fast disk")
    print(
        f"{in_order:8.1f}  --reading=sequential, {in_order / bound:.2f} times the larger of these"
    )
    print(f"{at_random:8.1f}  --reading=random, {at_random / in_order:.1f} times that{note}")


def seconds_at_random(
    config: SlowDiskConfig, folder: pathlib.Path, source: pathlib.Path, environment: dict[str, str]
) -> tuple[float, str]:
    """The time that random reading takes, or would; and which of the two it is."""
    per_class = -(-config.random_images // _CLASSES)
    if not 0 < per_class < config.images // _CLASSES - 1:
        return seconds(config, folder, source, "random", environment), ""
    flags = (f"--max_per_class={per_class}", "--split=train")
    part = seconds(config, folder, source, "random", environment, *flags)
    count = per_class * _CLASSES
    return part * config.images / count, f" (worked out from {count:,})"


def seconds(
    config: SlowDiskConfig,
    folder: pathlib.Path,
    source: pathlib.Path,
    reading: str,
    environment: dict[str, str],
    *more: str,
) -> float:
    """From the line `building` to the line `built`."""
    data = folder / "data"
    script = pathlib.Path(__file__).parents[1] / "data_prep" / "build_tfrecords.py"
    command = [sys.executable, str(script), f"--source={source}", f"--data_dir={data}"]
    command += [f"--size={config.size}", f"--reading={reading}", "--shard_megabytes=16", *more]
    begun = ended = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as job:
        for line in job.stdout or ():
            begun = time.monotonic() if line.startswith("building ") and not begun else begun
            ended = time.monotonic() if line.startswith("built ") else ended
    if job.returncode or not ended:
        raise UserError(f"the job failed with --reading={reading}")
    shutil.rmtree(data)
    return ended - begun


def slow(folder: pathlib.Path, source: pathlib.Path) -> dict[str, str]:
    """The environment in which a folder lies on a slow disk. Raises UserError without a compiler"""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise UserError("no C compiler (cc or gcc) for the library that slows reading down")
    code, library = folder / "slow_disk.c", folder / "slow_disk.so"
    code.write_text(LIBRARY)
    flags = ("-O2", "-shared", "-fPIC", "-ldl", "-lpthread")
    command = [compiler, "-o", str(library), str(code), *flags]
    subprocess.run(command, check=True)
    return os.environ | {"LD_PRELOAD": str(library), "SLOW_FOLDER": f"{source.resolve()}/"}


def make_source(folder: pathlib.Path, images: int, width: int) -> None:
    """The official three files, of a few pictures again and again."""
    pictures = list(_pictures(width))
    wnids = [f"n{number:08d}" for number in range(1, _CLASSES + 1)]
    per_class = images // _CLASSES - 1
    with tarfile.open(folder / TRAIN_TAR, "w") as outer:
        for label, wnid in enumerate(wnids):
            files = {
                f"{wnid}_{i}.JPEG": pictures[(label + i) % _PICTURES] for i in range(per_class)
            }
            content = sample.tar_bytes(files)
            member = tarfile.TarInfo(f"{wnid}.tar")
            member.size = len(content)
            outer.addfile(member, io.BytesIO(content))
    validation = {
        f"ILSVRC2012_val_{i + 1:08d}.JPEG": pictures[i % _PICTURES] for i in range(_CLASSES)
    }
    (folder / VALIDATION_TAR).write_bytes(sample.tar_bytes(validation))
    devkit = sample.devkit_archive(wnids, wnids, range(_CLASSES), per_class)
    (folder / f"{DEVKIT}.tar.gz").write_bytes(devkit)


def _pictures(width: int) -> Iterator[bytes]:
    for seed in range(_PICTURES):
        coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((width, width * 3 // 4), Image.Resampling.BICUBIC)
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=90)
        yield content.getvalue()


if __name__ == "__main__":
    commandline.run(main, configs=[SlowDiskConfig], tensorflow=False)
