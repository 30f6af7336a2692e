"""The papers' figures: what each shows is what the net and the images have."""

import dataclasses
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from base.errors import UserError
from insight import curves, embedding, images, kernels, neighbours, of_nets, patches
from insight.config import FiguresConfig
from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import smooth_image, write_dataset
from tests.making.run_folders import make_run
from tests.making.trained_runs import random_run
from trainers.config import TrainedConfig
from trainers.serving import net_layers
from trainers.serving.classifier import Classifier

SIZE, IMAGES = 40, 12
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data") / "set"
    write_dataset(data_dir, train=IMAGES, validation=IMAGES, size=SIZE)
    return random_run(tmp_path_factory.mktemp("runs"), data_dir, "resnet10(width=4)", SIZE)


@pytest.fixture(scope="module")
def made(run):
    return Classifier(run, TrainedConfig())


def config(run, figure, **flags) -> FiguresConfig:
    return FiguresConfig(run=(str(run.directory),), figure=figure, **flags)


@pytest.mark.parametrize(
    "figure", ["neighbours", "occlusion", "patches", "activations", "embedding"]
)
def test_every_figure_is_drawn_of_the_runs_own_data_set(run, figure):
    picture = of_nets.draw(config(run, figure), run, [])
    assert picture.width > 4 * SIZE and len(picture.getcolors(2**24)) > 20


def test_kernels_are_shown_in_the_colours_of_the_images(made, monkeypatch):
    kernel = made.model.get_layer("conv1").kernel
    before = kernel.numpy()
    # The first kernel sees the first channel alone.
    red = np.zeros_like(before)
    red[:, :, 0] = 1
    kernel.assign(red)
    middle = (20, 60)
    assert kernels.draw(made).getpixel(middle) == (255, 128, 128)
    pipeline = dataclasses.replace(made.config.pipeline, eval_device_map="to_bgr|mean_std")
    monkeypatch.setattr(made, "config", dataclasses.replace(made.config, pipeline=pipeline))
    assert kernels.draw(made).getpixel(middle) == (128, 128, 255)
    kernel.assign(before)


def test_the_nearest_are_those_of_the_smallest_distance_but_the_query_itself():
    queries, found = RNG.normal(size=(3, 8)), RNG.normal(size=(20, 8))
    found[7] = queries[1]
    near = neighbours.nearest(queries, found, 6)
    for query, row in zip(queries, near, strict=True):
        distances = np.linalg.norm(found - query, axis=1)
        wanted = [number for number in np.argsort(distances) if distances[number] > 0]
        assert row.tolist() == wanted[:6]


def test_principal_components_are_those_of_the_covariance():
    rows = RNG.normal(size=(30, 6)) * [1, 5, 1, 1, 3, 1] + 100
    points, shares = embedding.principal_components(rows, 2)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum())
    wanted = (rows - rows.mean(axis=0)) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(wanted), atol=1e-9)


def test_a_patch_is_what_a_position_depends_on(made):
    model = made.model
    (maps,) = (each for each in net_layers.feature_maps(model) if each.layer.name == "conv1")
    part = keras.Model(model.input, maps.layer.output)
    field = patches.receptive_field(made, part, maps)
    assert field == patches.Field((7, 7), (-3, -3), (2, 2))
    crop = smooth_image(RNG, SIZE, SIZE)
    cut = patches.patch(crop, (10, 9), field)
    np.testing.assert_array_equal(cut, crop[17:24, 15:22])
    elsewhere = 255 - crop
    elsewhere[17:24, 15:22] = cut
    features, again = images.features(made, part, np.stack([crop, elsewhere]))
    np.testing.assert_array_equal(features[10, 9], again[10, 9])
    assert (features[10, 10] != again[10, 10]).any()
    corner = patches.patch(crop, (0, 0), field)
    assert (corner[:3] == 128).all() and (corner[-1, -1] == crop[3, 3]).all()
    whole = patches.Field((SIZE, SIZE), (-8, -8), (4, 4))
    np.testing.assert_array_equal(patches.patch(crop, (3, 3), whole), crop)


def test_curves_are_of_runs_that_have_trained(tmp_path):
    runs = [make_run(tmp_path, f"demo/{number}") for number in (1, 2)]
    assert isinstance(curves.draw(runs), Image.Image)
    untrained = make_run(tmp_path, "other/1", top1s=())
    with pytest.raises(UserError, match="other/1: it has no metrics"):
        curves.draw([*runs, untrained])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "--figure=kernels|neighbours"),
        ({"figure": "kernels", "run": ("a", "b")}, "is of one run"),
        ({"figure": "kernels", "run": ()}, "no run is named"),
        ({"figure": "kernels", "layer": "conv1"}, "--layer is of --figure=patches and activations"),
        ({"figure": "patches", "maps": ("x",)}, "--maps=x are not numbers"),
        ({"figure": "patches", "output": "x.jpg"}, "must end in .png"),
        ({"figure": "patches", "method": "tsne"}, "--method is of --figure=embedding"),
    ],
)
def test_flags_that_make_no_figure_are_refused(flags, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", sys)
    with pytest.raises(UserError) as error:
        FiguresConfig(**{"run": ("a",)} | flags)
    assert said in str(error.value)


def test_tsne_names_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match="needs scikit-learn: pip install scikit-learn"):
        FiguresConfig(run=("a",), figure="embedding", method="tsne")


def test_layers_and_maps_that_are_not_there_are_named(run):
    with pytest.raises(UserError, match=r"--layer=conv9: resnet10 has no layer of that name"):
        of_nets.draw(config(run, "activations", layer="conv9"), run, [])
    with pytest.raises(UserError, match=r"--maps=99: conv1 has maps 0 to 3"):
        of_nets.draw(config(run, "activations", layer="conv1", maps=("1", "99")), run, [])


@pytest.mark.end_to_end
def test_the_command_puts_figures_into_the_runs_folder(run, tmp_path):
    command = ("insight/figures.py", f"--run={run.directory}")
    done = run_command(*command, "--figure=kernels")
    path = run.directory / "figures" / "kernels.png"
    assert f"drawn: {path}" in done.stderr and path.exists()
    done = run_command(*command, "--figure=curves", str(tmp_path), code=1)
    assert_one_line_error(done, "--figure=curves takes no files")
