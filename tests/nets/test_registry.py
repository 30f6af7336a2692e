"""What one gets by a net's name, and that a copy of a net's source is a package by itself."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import nets


def load_copy(files, folder, name):
    for file in files:
        shutil.copy(file, folder)
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package


def test_names_and_entries_come_without_keras():
    code = (
        "import sys, nets; print([nets.entry(name).params for name in nets.names()]);"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "60965224" in done.stdout


def test_unknown_net_suggests_the_nearest_and_lists_all():
    with pytest.raises(
        ValueError, match=r"unknown net: 'alexnt'. Did you mean 'alexnet'\?"
    ) as info:
        nets.build("alexnt")
    assert "\n" not in str(info.value)
    assert all(name in str(info.value) for name in nets.names())


def test_unknown_option_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"option of alexnet: 'dropuot'. Did you mean 'dropout'\?"):
        nets.build("alexnet", dropuot=0.1)


def test_what_makes_a_variant_is_no_option():
    with pytest.raises(ValueError, match="unknown option of resnet18: 'units'"):
        nets.build("resnet18", units=(1, 1, 1, 1))


def test_only_nets_with_batch_norm_synchronise_it():
    with pytest.raises(ValueError, match="unknown option of alexnet: 'synchronized_batch_norm'"):
        nets.build("alexnet", synchronized_batch_norm=True)
    model = nets.build("resnet10", image_size=32, width=16, synchronized_batch_norm=True)
    alone = nets.build("resnet10", image_size=32, width=16)
    assert model.get_layer("conv1_bn").synchronized
    assert not alone.get_layer("conv1_bn").synchronized


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("alexnet", 40), ("vgg16", 31), ("googlenet", 64), ("inception_v3", 74), ("squeezenet1_0", 8)],
)
def test_too_small_an_image_is_one_clear_line(name, image_size):
    with pytest.raises(ValueError, match=f"^{name}: the image is too small: .*image_size") as info:
        nets.build(name, image_size=image_size)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("image_size", [0, -1, (64, 0), 64.0, (64,)])
def test_a_size_must_be_positive_integers(image_size):
    with pytest.raises(ValueError, match="resnet10: image_size must be a positive integer or two"):
        nets.build("resnet10", image_size=image_size)


def test_the_number_of_classes_must_be_positive():
    with pytest.raises(ValueError, match="resnet10: num_classes must be a positive integer, not 0"):
        nets.build("resnet10", num_classes=0)


def test_space_to_depth_refuses_odd_sizes():
    with pytest.raises(ValueError, match="even image sizes, not 65x64"):
        nets.build("resnet18", image_size=(65, 64), space_to_depth_stem=True)


def test_images_need_not_be_square():
    model = nets.build("resnet10", 7, (64, 96), width=16)
    assert model(np.zeros((2, 64, 96, 3), "float32")).shape == (2, 7)


def test_default_decay_takes_kernels_alone():
    model = nets.build("resnet10", 5, 32, width=16)
    names = [variable.path for variable in nets.decay_variables("resnet10", model)]
    assert "conv1/kernel" in names and "fc/kernel" in names
    assert all(name.endswith("/kernel") for name in names)
    # The stem, 4 units of 2 convolutions, 3 projections, and the classifier.
    assert len(names) == 1 + 8 + 3 + 1


def test_fb_resnet_torch_decays_everything():
    model = nets.build("resnet50_v1_5", 5, 32)
    assert len(nets.decay_variables("resnet50_v1_5", model)) == len(model.trainable_variables)


def test_mobilenet_spares_its_depthwise_kernels():
    model = nets.build("mobilenet_v1_025", 5, 32)
    names = [variable.path for variable in nets.decay_variables("mobilenet_v1_025", model)]
    assert len(names) == 1 + 13 + 1
    assert not any("_dw" in name for name in names)


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("alexnet", {"alexnet"}),
        ("se_resnext50", {"senet", "resnet", "residual"}),
        ("vgg_small", {"vgg", "alexnet"}),
    ],
)
def test_source_files_are_what_a_net_needs(name, families):
    modules = {file.stem for file in nets.source_files(name)}
    shared = {"__init__", "_registry", "_model", "_builder", "_layers", "_linear_layers"}
    shared |= {"_padding", "_convolutional", "_counts", "_settings"}
    shared |= {"_tokens", "_token_layers", "_attention", "_channel_layers"}
    assert modules == shared | families
    assert all(file.is_file() for file in nets.source_files(name))


@pytest.mark.parametrize("name", ["resnet10", "vgg_small"])
def test_a_copy_under_another_name_is_the_same_net(name, tmp_path):
    copy = load_copy(nets.source_files(name), tmp_path, f"copied_{name}")
    assert name in copy.names()
    assert "squeezenet1_0" not in copy.names()
    ours, theirs = nets.build(name, 3, 48, width=8), copy.build(name, 3, 48, width=8)
    theirs.set_weights(ours.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 48, 48, 3)).astype("float32")
    np.testing.assert_array_equal(ours(images), theirs(images))
    seeds = np.array([[1, 2], [3, 4]], "int32")
    with nets.example_seeds(seeds):
        expected = ours(images, training=True)
    with copy.example_seeds(seeds):
        np.testing.assert_array_equal(theirs(images, training=True), expected)


FAMILY = """
from ._registry import Net


def linear(nn, x, num_classes, *, width=4):
    return nn.fc(nn.conv_relu(x, width, 3, name="conv1"), num_classes, name="fc2")


NETS = (
    Net(
        name="{name}", body=linear, paper="A. Nobody: Nothing. 2026", year=2026, params=1, macs=1,
        image_size=8, feature_maps={{}},
    ),
)
"""


def test_a_file_dropped_in_registers_its_nets(tmp_path):
    (tmp_path / "mine.py").write_text(FAMILY.format(name="my_net"), encoding="utf-8")
    package = load_copy(nets.source_files("alexnet"), tmp_path, "copied_with_mine")
    assert package.entry("my_net").family == "mine"
    assert package.build("my_net", 3, width=2).output.shape == (None, 3)


def test_two_nets_of_one_name_are_refused(tmp_path):
    (tmp_path / "mine.py").write_text(FAMILY.format(name="alexnet"), encoding="utf-8")
    package = load_copy(nets.source_files("alexnet"), tmp_path, "copied_with_a_twin")
    with pytest.raises(
        ValueError, match=r"two nets are named 'alexnet': in alexnet.py and mine.py"
    ):
        package.names()


def run_nets(*arguments):
    command = [sys.executable, "-m", "nets", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_every_net():
    done = run_nets()
    assert done.returncode == 0 and done.stderr == ""
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(nets.names()) <= set(lines)
    assert "A. Krizhevsky et al. 2012" in lines["alexnet"]
    assert "60.97 M" in lines["alexnet"] and "0.724 G" in lines["alexnet"]
    assert "40.7/18.2 (10 crops)" in lines["alexnet"]


@pytest.mark.slow(reason="it builds a large net in a process of its own")
def test_the_command_prints_a_nets_own_table():
    done = run_nets("alexnet")
    assert done.returncode == 0 and done.stderr == ""
    cells = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.split()}
    assert cells["conv2"] == ["27x27x256", "5x5x48x256", "307,456", "223,948,800"]
    assert cells["total"][-2:] == ["60,965,224", "724,406,816"]
    assert "NIPS 2012" in done.stdout and "Departure: 224 pixels" in done.stdout


def test_the_command_names_an_unknown_net_in_one_line():
    done = run_nets("resnet51")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: unknown net: 'resnet51'. Did you mean 'resnet50'?")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_ends_the_command_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "nets"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("name", nets.names())
def test_every_net_of_ours_pins_what_is_known_about_it(name):
    net = nets.entry(name)
    for field in ("paper", "year", "params", "macs", "image_size", "feature_maps", "family"):
        assert getattr(net, field), field


def test_a_new_net_needs_its_name_and_its_body_alone(tmp_path):
    package = load_copy(nets.source_files("alexnet"), tmp_path, "copied_to_register")
    body = nets.entry("alexnet").body

    def own(nn, x, num_classes):
        return nn.fc(nn.conv_relu(x, 4, 3, name="conv1"), num_classes, name="fc2")

    # Another package's class, which is what a run's copy is given.
    package.register([nets.Net(name="mine", body=own)], "mine.py")
    net = package.entry("mine")
    assert isinstance(net, package.Net) and (net.params, net.image_size) == (None, 224)
    assert package.build("mine", 3, 8).output.shape == (None, 3)
    assert {file.stem for file in package.source_files("mine")} == {
        file.stem for file in package.source_files("alexnet")
    } - {"alexnet"}
    package.register([nets.Net(name="other", body=own)], "mine.py")
    assert "other" in package.names() and "mine" not in package.names(), "another version"
    for source, given, says in (
        ("a.py", [nets.Net(name="alexnet", body=body)], "there is a net alexnet already"),
        ("a.py", [nets.Net(name="other", body=body)], "there is a net other already"),
        ("a.py", [own], r"NETS holds nets.Net\(name=..., body=...\), not <function"),
    ):
        with pytest.raises(ValueError, match=says):
            package.register(given, source)
