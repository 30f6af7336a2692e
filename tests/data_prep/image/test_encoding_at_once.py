"""Each thread encodes into a file of its own, and so does a process that was forked."""

import subprocess
import sys

import pytest

# Images of many sizes, over and over.
AT_ONCE = """
import concurrent.futures, os
import numpy as np
from data_prep.image import conversion
from data_prep.schema import ImageSettings

settings = ImageSettings(restart_markers=True)
random = np.random.default_rng(0)
images = [random.integers(0, 256, (16 + 8 * i, 90 - 4 * i, 4), np.uint8) for i in range(16)]
expected = [conversion.encode(image, settings) for image in images]
child = os.fork()
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for _ in range(20):
        found = list(pool.map(conversion.encode, images, [settings] * len(images)))
        alone = [conversion.encode(image, settings) for image in images]
        if not (found == alone == expected):
            os._exit(1)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("files", ["in memory", "on the disk"])
def test_threads_and_forked_processes_do_not_write_into_each_other_s_files(files):
    without = "import os; del os.memfd_create\n" if files == "on the disk" else ""
    done = subprocess.run(
        [sys.executable, "-c", without + AT_ONCE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
