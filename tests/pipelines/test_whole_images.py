"""Whole images in batches of one size: every image once, in its own size."""

import numpy as np

from pipelines.config import PipelineConfig
from pipelines.input_pipeline import InputPipeline
from pipelines.reading.dataset import open_dataset
from tests.making.datasets import write_dataset


def test_every_image_comes_once_and_with_images_of_its_size(tmp_path):
    # Ten images are 40 pixels high and 40 to 49 wide; seven more repeat sizes.
    directory = write_dataset(tmp_path / "data", validation=39)
    config = PipelineConfig(
        data_dir=str(directory), train_map="decode_random_crop(24)", eval_map="decode"
    )
    pipeline = InputPipeline(open_dataset(config), config)
    seen, sizes = {}, {}
    batches = pipeline.evaluate_whole_images(2, split="validation")
    for batch in batches.as_numpy_iterator():
        assert 1 <= len(batch["position"]) <= 2
        for position, label, image in zip(
            batch["position"], batch["label"], batch["image"], strict=True
        ):
            assert position not in seen
            seen[position], sizes[position] = label, image.shape
    assert sorted(seen) == list(range(39))
    assert all(seen[position] == position % 5 for position in seen)
    assert all(sizes[position] == (40, 40 + position % 17, 3) for position in sizes)


def test_images_are_scaled_by_the_chain(tmp_path):
    directory = write_dataset(tmp_path / "data", validation=3)
    config = PipelineConfig(
        data_dir=str(directory),
        train_map="decode_random_crop(24)",
        eval_map="decode|resize_short_side(60)",
    )
    pipeline = InputPipeline(open_dataset(config), config)
    batches = pipeline.evaluate_whole_images(4, split="validation").as_numpy_iterator()
    sizes = sorted(batch["image"].shape for batch in batches)
    assert [shape[1:3] for shape in sizes] == [(60, 60), (60, 61), (60, 63)]
    assert np.sum([shape[0] for shape in sizes]) == 3
