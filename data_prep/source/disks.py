"""Whether a source should be read at random or in its own order: by the disk that it lies on."""

import os
import pathlib
from collections.abc import Callable

RANDOM, SEQUENTIAL, AUTO = "random", "sequential", "auto"

# File systems that are another machine's disk, which often spins, behind a network.
_NETWORK = {
    *("nfs", "nfs3", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "afs", "ncpfs", "davfs"),
    *("lustre", "gpfs", "ceph", "glusterfs", "beegfs", "ocfs2", "gfs2", "virtiofs", "vboxsf"),
    *("fuse.sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
    *("fuse.goofys", "fuse.mount-s3", "fuse.blobfuse", "fuse.juicefs", "fuse.smbnetfs"),
}
# With fewer images, all the jumps together take some seconds, and the archive stays in memory.
FEW_IMAGES = 2000


def choose(
    reading: str, images: int, path: str, say: Callable[[str], None], root: str = "/"
) -> str:
    """How to read a source: RANDOM or SEQUENTIAL.

    Args:
        reading: --reading.
        images: how many there are to read.
        path: of the source.
        say: prints a line, where that is chosen which needs more room.
        root: of the file system in which /proc and /sys are.
    """
    if reading != AUTO:
        return reading
    if images < FEW_IMAGES:
        return RANDOM
    slow = slow_to_jump(path, root)
    if slow:
        say(f"--reading=auto: {path} lies on {slow}: it is read once, in its own order")
    return SEQUENTIAL if slow else RANDOM


def slow_to_jump(path: str, root: str = "/") -> str:
    """What a path lies on, where that takes milliseconds for a jump; empty where it does not."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    kind, source = _mount(os.path.realpath(path), number, root)
    if kind in _NETWORK:
        return f"a network file system ({kind})"
    top = pathlib.Path(root)
    block = top / "sys/dev/block" / number
    if not block.exists() and source.startswith("/dev/"):  # btrfs has numbers of its own
        block = top / "sys/class/block" / os.path.basename(os.path.realpath(source))
    try:
        spinning = _spinning(block.resolve())
    except OSError:
        return ""
    return f"a spinning disk ({spinning})" if spinning else ""


def _mount(path: str, number: str, root: str) -> tuple[str, str]:
    """(type, source) of what is mounted where a path is: proc_pid_mountinfo(5)."""
    best = (-1, False), "", ""
    try:
        lines = (pathlib.Path(root) / "proc/self/mountinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, more = before.split(), after.split()
        if len(fields) < 5 or len(more) < 2:
            continue
        point = fields[4].encode().decode("unicode_escape").rstrip("/")  # \040 is a space
        if path == point or path.startswith(f"{point}/"):
            # Of what is mounted over one another the last one counts.
            rank = (len(point), fields[2] == number)
            if rank >= best[0]:
                best = rank, more[0], more[1]
    return best[1], best[2]


def _spinning(block: pathlib.Path) -> str:
    """The name of a spinning disk below a block device; through partitions, LVM, RAID and dm."""
    if (block / "partition").exists():
        block = block.parent
    slaves = block / "slaves"
    below = sorted(slaves.iterdir()) if slaves.is_dir() else []
    if below:
        return next((name for each in below if (name := _spinning(each.resolve()))), "")
    rotational = block / "queue/rotational"
    return block.name if rotational.exists() and rotational.read_text().strip() == "1" else ""
