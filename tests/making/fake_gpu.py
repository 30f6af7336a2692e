"""A GPU that computes nothing: what TensorFlow makes of a training step for GPUs, without one.

TensorFlow's wheel knows which operations have GPU kernels. With a device that says it is a GPU
(fake_gpu.cc) it places, optimises and splits the real step as it would on GPUs, and gives up at the
first kernel; what it had made by then is read from its dumps.
"""

import collections
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

SOURCE = pathlib.Path(__file__).with_suffix(".cc")


@dataclasses.dataclass(frozen=True)
class TracedStep:
    """One training step as TensorFlow would run it.

    Attributes:
        to_host: the names of what a GPU sends to the host in a step, each of which makes the host
            wait for the GPU.
        kernels: how many kernels a step launches on the first GPU.
        bytes: how many bytes its operations read and write, by their kind.
        before_layout: the graph that the layout optimiser was given: a text GraphDef.
    """

    to_host: list[str]
    kernels: int
    bytes: dict[str, int]
    before_layout: str


def library() -> str:
    """The fake GPU's library, built once; skips where nothing can build it, but not in CI."""
    if not (compiler := shutil.which("g++") or shutil.which("clang++")):
        assert not os.environ.get("CI"), "CI has a C++ compiler"
        pytest.skip("no C++ compiler builds the fake GPU")
    return _built(compiler)


@functools.cache
def _built(compiler: str) -> str:
    import tensorflow as tf

    target = pathlib.Path(tempfile.mkdtemp()) / "libfakegpu.so"
    flags = tf.sysconfig.get_compile_flags()
    command = [compiler, "-std=c++17", "-O1", "-fPIC", "-shared", str(SOURCE), "-o", str(target)]
    subprocess.run([*command, *flags], check=True)
    return str(target)


def run(gpus: int, arguments: list[str], dump: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `tests.making.gpu_trace` with so many fake GPUs.

    Args:
        gpus: how many.
        arguments: of the command.
        dump: where TensorFlow writes what it makes of each function.
    """
    environment = {**os.environ, "FAKE_GPU_LIBRARY": library(), "FAKE_GPUS": str(gpus)}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    if dump:
        environment |= {"TF_DUMP_GRAPH_NAME_FILTER": "*", "TF_DUMP_GRAPH_PREFIX": dump}
    return subprocess.run(
        [sys.executable, "-m", "tests.making.gpu_trace", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def traced(gpus: int, *flags: str) -> TracedStep:
    """The step of these flags on so many GPUs."""
    with tempfile.TemporaryDirectory() as dump:
        done = run(gpus, ["step", *flags], dump)
        found = [line for line in done.stdout.splitlines() if line.startswith("{")]
        assert found, done.stdout + done.stderr
        shapes = json.loads(found[0])
        paths = sorted(pathlib.Path(dump).glob("*take_steps*"))
        parts = [p for p in paths if "partition__" in p.name and "after_partition" in p.name]
        graphs = {path.name.split("device:")[-1].split(".")[0]: _graph(path) for path in parts}
        assert len([name for name in graphs if name.startswith("GPU")]) == gpus, done.stderr[-2000:]
        before = next(path for path in paths if "before_graph_optimization" in path.name)
        to_host = [name for device in graphs for name in _sent_to_host(device, graphs)]
        kernels, moved = _kernels(graphs["GPU:0"], shapes)
        return TracedStep(to_host, kernels, moved, before.read_text())


def _graph(path: pathlib.Path):
    from google.protobuf import text_format
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    text_format.Parse(path.read_text(), graph)
    return graph


def _sent_to_host(device: str, graphs: dict) -> list[str]:
    """What the loop's body sends from a device's memory to a host's."""
    if not device.startswith("GPU"):
        return []
    received = {
        node.attr["tensor_name"].s
        for graph in graphs.values()
        for node in graph.node
        if node.op == "_HostRecv"
    }
    return [
        node.attr["tensor_name"].s.decode()
        for node in graphs[device].node
        if node.op == "_Send"
        and "/body/" in node.name
        and (b"CPU" in node.attr["recv_device"].s or node.attr["tensor_name"].s in received)
    ]


# What launches no kernel.
_NO_KERNEL = """
Const _Arg _Retval Enter Exit Merge Switch NextIteration LoopCond Identity IdentityN NoOp Reshape
Shape ExpandDims Squeeze StopGradient PreventGradient ReadVariableOp AssignVariableOp _Send _Recv
_HostSend _HostRecv ControlTrigger IteratorGetNext
"""


def _kernels(graph, shapes: dict[str, int]) -> tuple[int, dict[str, int]]:
    """How many kernels the loop's body launches, and the bytes that each kind moves.

    Args:
        graph: of one device.
        shapes: by an operation's name in the loop's body, the bytes that it reads and writes.
    """
    moved: dict[str, int] = collections.Counter()
    count = 0
    for node in graph.node:
        if "/body/" in node.name and node.op not in _NO_KERNEL.split():
            count += 1
            name = node.name.split("/body/", 1)[1].split("/", 1)[-1]
            moved[node.op] += shapes.get(name.removeprefix("while/"), 0)
    return count, dict(moved)
