"""What `import trainers` and `import pipelines` offer: training, predictions, batches, tables."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

import pipelines
import trainers
from base.errors import UserError
from data_prep import schema
from tests.making.datasets import write_dataset
from tests.making.tiny_net import tiny_net
from trainers.config import TrainedConfig
from trainers.run_folder.finding import find_run
from trainers.serving.classifier import Classifier

EXPERIMENT = """
--train_map=decode_random_crop(32)
--eval_map=decode_center_crop(32)
--train_device_map=mean_std
--eval_device_map=mean_std
--train_batch_size=12
--eval_batch_size=4
--train_epochs=1
--log_steps=2
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set, a flag file of a tiny net, and two runs of it."""
    root = tmp_path_factory.mktemp("python")
    settings = schema.ImageSettings(geometry="square_crop", size=40)
    write_dataset(root / "set", settings=settings)
    net = "\n".join(tiny_net(root))
    (root / "mine.cfg").write_text(f"{EXPERIMENT}{net}\n--data_dir={root / 'set'}\n")
    for rate in (0.1, 0.2):
        run = trainers.train_run(root / "mine.cfg", runs_dir=root / "runs", learning_rate=rate)
    assert run.directory == root / "runs/mine/2" and run.record.state == "finished"
    return root


@pytest.fixture(scope="module")
def run(place):
    return trainers.load_run("mine/1", runs_dir=place / "runs")


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_an_image_is_predicted_alike_as_a_file_as_an_array_and_from_pillow(run, tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, [60, 50, 3]).astype(np.uint8)
    image = Image.fromarray(levels)
    (tmp_path / "a.png").write_bytes(png(image))
    found = run.predict([tmp_path / "a.png", levels, image, str(tmp_path)], top=3)
    assert [each.path for each in found[::3]] == [tmp_path / "a.png"] * 2
    for each in found:
        np.testing.assert_allclose(each.logits, found[0].logits, atol=1e-6)
        assert each.truth is None and len(each.words) == 3
    expected = Classifier(find_run(str(run.directory)), TrainedConfig())
    stored = expected.store(png(image))
    np.testing.assert_allclose(
        found[0].logits, expected.logits(expected.crops([stored]))[0], atol=1e-6
    )
    assert str(found[1]).splitlines()[0] == "<image>/1"


def test_one_image_and_a_batch_of_them_are_taken_too(run):
    batch = np.zeros([2, 44, 44, 3], np.uint8)
    assert len(run.predict(batch)) == 2
    (gray,) = run.predict(batch[0, ..., 0])
    (transparent,) = run.predict(Image.new("RGBA", (44, 44)))
    (cmyk,) = run.predict(Image.new("CMYK", (44, 44)))
    assert gray.crop.shape == transparent.crop.shape == cmyk.crop.shape == (32, 32, 3)


def test_what_is_no_image_is_named(run):
    with pytest.raises(TypeError, match=r"float64 \[44, 44, 3\].*levels are uint8"):
        run.predict(np.zeros([44, 44, 3]))
    with pytest.raises(TypeError, match="int is neither a file, nor an array"):
        run.predict([3])
    with pytest.raises(UserError, match=r"no\.jpg: there is no such file"):
        run.predict("no.jpg")


def test_the_model_goes_on_in_keras_with_the_batches_of_the_validation(place, run):
    batches = pipelines.load_batches(place / "mine.cfg", "validation")
    sizes, hits = [], 0
    for images, labels in batches:
        sizes.append(len(labels))
        hits += int(np.sum(np.argmax(run.model(images), axis=-1) == labels.numpy()))
    assert sizes == [4, 4, 2] and len(batches) == 3, "the last one has no padding"
    assert hits / 10 == pytest.approx(run.record.best.top1)


def test_batches_of_training_are_those_of_the_flags_epoch_after_epoch(place):
    two = pipelines.load_batches(place / "mine.cfg", epochs=2)
    assert len(two) == 10
    epochs = np.split(np.stack([images for images, _ in two]), 2)
    assert epochs[0].dtype == np.float32 and epochs[0].shape[1:] == (12, 32, 32, 3)
    assert not np.array_equal(*epochs)
    mixed = pipelines.load_batches(place / "mine.cfg", train_device_map="mixup(0.5)|mean_std")
    _, labels = next(iter(mixed))
    np.testing.assert_allclose(np.sum(labels, axis=-1), 1, atol=1e-6)
    assert labels.shape == (12, 5)


@pytest.mark.parametrize(
    ("split", "flags", "says"),
    [
        ("test", {}, "no split 'test': there are train, validation"),
        ("train", {"epochs": 0}, "epochs=0 must be at least 1"),
        ("validation", {"eval_map": "decode|ten_crop(32)"}, "several views"),
        (
            "train",
            {"train_map": "decode_random_crop({size})", "train_sizes": ["0:24", "1:32"]},
            "these batches have one image size",
        ),
        ("train", {"colour": "red"}, "Unknown command line flag 'colour'"),
    ],
)
def test_flags_that_make_no_such_batches_are_named(place, split, flags, says):
    with pytest.raises(UserError, match=says):
        pipelines.load_batches(place / "mine.cfg", split, **flags)


def test_a_batch_is_shown_as_preview_draws_it(place):
    sheet = pipelines.show_batch(place / "mine.cfg", images=2)
    assert isinstance(sheet, Image.Image) and sheet.width > 400
    with pytest.raises(UserError, match="--images=3 must be an even number"):
        pipelines.show_batch(place / "mine.cfg", images=3)


def test_a_data_set_says_its_classes(place):
    dataset = pipelines.open_dataset(place / "mine.cfg", classes=2)
    assert len(dataset.words) == 2 < pipelines.open_dataset(place / "mine.cfg").num_classes


def test_runs_are_a_table_with_the_flags_in_which_they_differ(place, run):
    table = trainers.read_runs(place / "runs")
    assert list(table.index) == ["mine/1", "mine/2"]
    assert list(table["--learning_rate"]) == ["0.1", "0.2"] and "--seed" not in table
    assert table.loc["mine/1", "top1"] == run.record.best.top1
    lines = run.metrics()
    assert list(lines["split"]) == ["train", "train", "train", "validation"]
    assert list(lines["step"]) == [2, 4, 5, 5]


def test_without_pandas_one_line_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        run.metrics()


def test_runs_and_flags_that_there_are_not_are_named(place, tmp_path):
    with pytest.raises(UserError, match=r"--run=other is neither .* there are mine/1, mine/2"):
        trainers.load_run("other", runs_dir=place / "runs")
    with pytest.raises(UserError, match="neither 'best' nor 'last'"):
        trainers.load_run("mine", runs_dir=place / "runs", checkpoint="newest")
    with pytest.raises(UserError, match="no net is named"):
        trainers.train_run(data_dir=place / "set", runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())
