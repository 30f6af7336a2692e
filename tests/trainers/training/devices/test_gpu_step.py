"""What TensorFlow makes of the training step for GPUs, seen on GPUs that compute nothing."""

import functools
import pathlib

import pytest
import tensorflow as tf

from pipelines.chain import compile_chains
from pipelines.config import Phase
from pipelines.reading.dataset import open_dataset
from tests.making import fake_gpu
from tests.making.gpu_kernels import without_gpu_kernel
from tests.making.tiny_net import SYNTHETIC_TRAINING
from tests.making.trained_runs import random_run
from trainers import config as trainers_config

ROOT = pathlib.Path(__file__).parents[4]
# A3 is there for its loss, its optimizer and its mixing, for which a small net will do.
RECIPES = {
    "alexnet": (),
    "resnet50": (),
    "ffcv/resnet18_16": (),
    "timm/resnet50_a3": ("--net=resnet10(width=16)",),
}
pytestmark = pytest.mark.slow(reason="it traces a step for a fake GPU in a process of its own")


@functools.cache
def traced(recipe: str, gpus: int = 1) -> fake_gpu.TracedStep:
    flags = [f"--flagfile={ROOT}/flags/{recipe}.cfg", "--precision=mixed_bfloat16"]
    return fake_gpu.traced(gpus, *flags, *RECIPES[recipe], "--train_batch_size=256")


@pytest.mark.parametrize("recipe", RECIPES)
def test_no_step_sends_anything_to_the_host(recipe):
    assert traced(recipe).to_host == []


@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - {"resnet50"}))
def test_steps_of_two_gpus_send_the_host_their_end_alone(recipe):
    # NCCL's collectives take a key from the host for each call of the function; where a loop of
    # TensorFlow's hands it on to the next step, it waits for the end of the step before.
    assert [name.split("/")[-1] for name in traced(recipe, gpus=2).to_host] == ["NoOp"]


def test_nor_does_one_that_a_teacher_teaches(tmp_path):
    random_run(tmp_path, tmp_path, "resnet10(width=4)", 32, "--data=synthetic", "--experiment=old")
    flags = (*SYNTHETIC_TRAINING, f"--runs_dir={tmp_path}", "--teacher=old", "--layer_decay=0.75")
    assert fake_gpu.traced(1, *flags).to_host == []


@pytest.mark.parametrize(
    ("recipe", "kernels", "gigabytes"), [("resnet50", 2600, 115), ("alexnet", 400, 34)]
)
def test_kernels_and_bytes_of_a_step_stay_few(recipe, kernels, gigabytes):
    step = traced(recipe)
    assert step.kernels <= kernels
    # Half of it is of the layers that are there in any case.
    assert gigabytes / 2 < sum(step.bytes.values()) / 1e9 <= gigabytes


@pytest.mark.parametrize("recipe", ["resnet50", "alexnet"])
def test_bfloat16_is_not_transposed(recipe):
    before, after = transposes(traced(recipe).before_layout)
    assert after == before


def transposes(graph_text: str) -> tuple[int, int]:
    """How many there are before and after the layout optimiser, for an Ampere GPU."""
    from google.protobuf import text_format
    from tensorflow.core.framework import graph_pb2
    from tensorflow.core.protobuf import (
        config_pb2,
        device_properties_pb2,
        meta_graph_pb2,
        rewriter_config_pb2,
    )
    from tensorflow.python.grappler import cluster, tf_optimizer

    graph = graph_pb2.GraphDef()
    text_format.Parse(graph_text, graph)
    named, properties = device_properties_pb2.NamedDevice, device_properties_pb2.DeviceProperties
    host = "/job:localhost/replica:0/task:0/device"
    gpu = properties(type="GPU", num_cores=108, frequency=1400, environment={"architecture": "8.0"})
    devices = [
        named(name=f"{host}:CPU:0", properties=properties(type="CPU", num_cores=8, frequency=2000)),
        named(name=f"{host}:GPU:0", properties=gpu),
    ]
    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph)
    kept = ("_Retval", "AssignVariableOp")
    meta.collection_def["train_op"].node_list.value.extend(
        node.name for node in graph.node if node.op in kept
    )
    options = config_pb2.ConfigProto()
    rewrite = options.graph_options.rewrite_options
    rewrite.optimizers.append("layout")
    rewrite.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    rewrite.min_graph_nodes = -1
    laid_out = tf_optimizer.OptimizeGraph(
        options, meta, verbose=False, cluster=cluster.Cluster(devices=devices)
    )
    counts = [sum(node.op == "Transpose" for node in each.node) for each in (graph, laid_out)]
    return counts[0], counts[1]


@pytest.mark.parametrize(("replicas", "used"), [("1", 1), ("3", 3), ("auto", 4), ("cpu:2", 0)])
def test_gpus_that_are_not_wanted_are_left_alone(replicas, used):
    done = fake_gpu.run(4, ["devices", replicas])
    assert done.stdout.split() == [str(used)] * 2, done.stderr


def test_every_device_chain_has_gpu_kernels(monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    chains = set()
    for path in sorted((ROOT / "flags").rglob("*.cfg")):
        config = trainers_config.parse([f"--flagfile={path}", "--data=synthetic"])
        for phase in Phase:
            chain = (config.pipeline.train_device_map, config.pipeline.eval_device_map, phase)
            if chain in chains:
                continue
            chains.add(chain)
            made = compile_chains(open_dataset(config.pipeline), config.pipeline, phase)
            height, width = made.image_size
            batch = {
                "image": tf.TensorSpec([4, height, width, 3], tf.uint8),
                "label": tf.TensorSpec([4], tf.int32),
                "seed": tf.TensorSpec([4, 2], tf.int32),
            }
            function = tf.function(made.on_device, autograph=False)
            missing = without_gpu_kernel(function.get_concrete_function(batch).graph)
            assert not missing, (path, phase)
    assert len(chains) > 5
