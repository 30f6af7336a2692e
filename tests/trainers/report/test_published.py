"""Ours beside the published figure, and every way in which they were not measured alike."""

import dataclasses

import pytest

import nets
from pipelines.config import PipelineConfig
from tests.conftest import ROOT
from tests.making.run_folders import make_run
from trainers.config import read_flag_file
from trainers.report import page, published, tables
from trainers.run_folder.records import find_records, read_record

ILSVRC = {
    "num_classes": 1000,
    "generated": False,
    "records": {"train": 1_281_167, "validation": 50_000},
    "image_size": {"train": [224, 224], "eval": [224, 224]},
}


def evaluate(run, protocol, **values):
    found = {"protocol": protocol, "split": "validation", "images": 20, "top1": 0.5, "top5": 0.8}
    run.write_json(f"evaluation_{protocol}_validation.json", found | values)


def recipe(name, **changes):
    """The flags of a recipe, as make_run takes them."""
    config = dataclasses.asdict(read_flag_file(ROOT / f"flags/{name}.cfg"))
    own = ("experiment", "experiment_is_default", "runs_dir", "pipeline")
    pipeline = PipelineConfig(**config["pipeline"])
    return {key: value for key, value in config.items() if key not in own} | {
        "pipeline": dataclasses.replace(pipeline, **changes)
    }


def test_a_run_by_the_papers_protocol_and_recipe_differs_in_nothing(tmp_path):
    run = make_run(tmp_path, top1s=[0.5] * 90, data=ILSVRC, **recipe("alexnet"))
    evaluate(run, "ten_crop", top1=0.6, top5=0.82)
    first, second, _ = published.gates(read_record(run.directory))
    assert first.published == nets.entry("alexnet").errors[0]
    assert (first.top1, first.top5) == (pytest.approx(40), pytest.approx(18))
    assert first.protocol == "10 crops"
    assert first.differences == ()
    assert "theirs top-1 40.7 %" in str(first)
    assert [str(difference) for difference in second.differences] == ["nets: 1 here, 5 there"]


def test_every_departure_is_named(tmp_path):
    run = make_run(tmp_path, net="alexnet", top1s=[0.3], data={"image_size": {"eval": [64, 64]}})
    gate = published.gates(read_record(run.directory))[0]
    said = [str(difference) for difference in gate.differences]
    assert "crops: center crop here, 10 crops there" in said
    assert "epochs: 1 here, 90 by flags/alexnet.cfg there" in said
    assert "data: 5 classes here, 1,000 there" in said
    assert "data: 100 train images here, 1,281,167 there" in said
    assert "data: 20 validation images here, 50,000 there" in said
    assert "data: generated images here, photographs there" in said
    assert "size: 64 pixels here, 224 pixels there" in said
    assert "decay: weight_decay 0.0 here, 0.0005 by flags/alexnet.cfg there" in said
    assert {"crops", "epochs", "data", "size", "rate", "decay", "augmentation"} <= set(gate.kinds)


def test_another_optimizer_and_augmentation_are_departures(tmp_path):
    flags = recipe("alexnet", train_map="decode_center_crop(224)")
    run = make_run(tmp_path, top1s=[0.5] * 90, data=ILSVRC, **flags | {"optimizer": "adam()"})
    evaluate(run, "ten_crop")
    gate = published.gates(read_record(run.directory))[0]
    assert gate.kinds == ["optimizer", "augmentation"]


def test_a_recipe_in_steps_is_compared_by_its_epochs(tmp_path):
    run = make_run(tmp_path, net="squeezenet1_0", top1s=[0.5] * 3, data=ILSVRC)
    gate = published.gates(read_record(run.directory))[0]
    assert "epochs: 3 here, 67.94 by flags/squeezenet1_0.cfg there" in map(str, gate.differences)


def test_crops_are_counted(tmp_path):
    run = make_run(tmp_path, net="googlenet", data=ILSVRC, top1s=())
    evaluate(run, "crops_144", scales=[256])
    of_144 = published.gates(read_record(run.directory))[3]
    assert "crops: 36 crops here, 144 crops there" in map(str, of_144.differences)
    evaluate(run, "crops_144", scales=[256, 288, 320, 352])
    of_144 = published.gates(read_record(run.directory))[3]
    assert not {"crops", "scales"} & set(of_144.kinds)


def test_a_figure_at_another_size_is_compared_at_that_size(tmp_path):
    run = make_run(tmp_path, net="resnet50_v2", data=ILSVRC)
    gate = published.gates(read_record(run.directory))[0]
    assert "size: 224 pixels here, 299 pixels there" in map(str, gate.differences)


def test_options_of_the_net_are_a_departure(tmp_path):
    run = make_run(tmp_path, net="resnet18(width=32)", data=ILSVRC)
    gate = published.gates(read_record(run.directory))[0]
    assert "options: resnet18(width=32) here, resnet18 there" in map(str, gate.differences)


def test_scales_and_ensembles_are_compared_with_what_was_averaged_alike(tmp_path):
    run = make_run(tmp_path, net="vgg16", data=ILSVRC)
    evaluate(run, "dense", top1=0.72)
    evaluate(run, "dense_multi_scale", top1=0.74, scales=[256, 384, 512])
    one_scale, three_scales, *_ = published.gates(read_record(run.directory))
    assert one_scale.top1 == pytest.approx(28)
    assert three_scales.top1 == pytest.approx(26)
    assert "scales" not in one_scale.kinds + three_scales.kinds


def test_a_result_on_the_training_images_is_not_compared(tmp_path):
    run = make_run(tmp_path, net="alexnet", data=ILSVRC)
    evaluate(run, "ten_crop", top1=0.99, split="train")
    assert published.gates(read_record(run.directory))[0].protocol == "center crop"


def test_without_a_figure_or_without_a_result_there_is_no_gate(tmp_path):
    assert published.gates(read_record(make_run(tmp_path, "a/1").directory)) == []
    early = make_run(tmp_path, "b/1", net="alexnet", top1s=(), finished=False)
    assert published.gates(read_record(early.directory)) == []
    gone = make_run(tmp_path, "c/1", net="alexnet")
    text = (gone.directory / "flags.cfg").read_text().replace("--net=alexnet", "--net=gone")
    (gone.directory / "flags.cfg").write_text(text)
    assert published.published_errors(read_record(gone.directory)) == ()


def test_a_figure_on_a_part_of_the_images_is_told_apart(tmp_path):
    run = make_run(tmp_path, net="inception_v3", data=ILSVRC)
    *others, listed, _ = published.gates(read_record(run.directory))
    assert "images: all here, those not blacklisted there" in map(str, listed.differences)
    assert all("images" not in gate.kinds for gate in others)


def test_a_protocol_in_words_says_all_that_is_known():
    said = nets.PublishedError(
        30.0, 10.0, "10 crops", nets=5, scales=2, size=299, subset="half", source="X's weights"
    )
    assert said.protocol == "10 crops at 299 pixels, 5 nets, 2 scales, half, X's weights"
    assert nets.PublishedError(30.0, None).protocol == "center crop"


def test_an_ensemble_is_beside_the_papers_ensemble(tmp_path):
    run = make_run(tmp_path, net="alexnet", data=ILSVRC)
    found = {"protocol": "ten_crop", "split": "validation", "images": 20, "top1": 0.6, "top5": 0.8}
    run.write_json("ensemble_ten_crop_validation.json", found | {"ensemble": ["a"] * 5})
    _, five, _ = published.gates(read_record(run.directory))
    assert "nets" not in five.kinds
    assert five.protocol == "10 crops, 5 nets"


def test_imported_weights_are_compared_by_their_evaluation(tmp_path):
    run = make_run(tmp_path, net="squeezenet1_0", top1s=(), data=ILSVRC)
    run.write_json("result.json", {"step": 0, "imported": {"file": "squeezenet1_0.npz"}})
    evaluate(run, "center_crop", top1=0.57)
    gate = published.gates(read_record(run.directory))[0]
    assert gate.top1 == pytest.approx(43)
    assert "weights: imported from squeezenet1_0.npz here, trained there" in map(
        str, gate.differences
    )
    assert "epochs" not in gate.kinds


def test_other_images_than_the_runs_are_not_compared(tmp_path):
    run = make_run(tmp_path, net="alexnet", data=ILSVRC, top1s=(0.3,))
    found = {"protocol": "ten_crop", "split": "validation", "images": 100, "top1": 0.57, "top5": 1}
    name = "evaluation_ten_crop_validation_on_01234567.json"
    run.write_json(name, found | {"own_data": False, "data_dir": "/data/v2"})
    record = read_record(run.directory)
    assert {round(gate.top1) for gate in published.gates(record)} == {70}
    assert "over 100 images of /data/v2" in tables.show_text(record)


def test_runs_validated_on_different_images_are_told_apart(tmp_path):
    for number, sha in ((1, "a" * 64), (2, "a" * 64)):
        make_run(tmp_path, f"demo/{number}", data={"manifest_sha256": sha})
    records = find_records(tmp_path)
    assert tables.VALIDATED_ON not in tables.list_table(records) + page.page(records, tmp_path)
    make_run(tmp_path, "demo/3", data={"manifest_sha256": "b" * 64})
    records = find_records(tmp_path)
    lines = tables.list_table(records).splitlines()
    assert tables.VALIDATED_ON in lines[0]
    assert [line.split("%")[-1].count("aaaaaaaa") for line in lines[1:]] == [1, 1, 0]
    assert "20 images, bbbbbbbb" in lines[3] and lines[3].endswith("finished")
    assert page.page(records, tmp_path).count("20 images, bbbbbbbb") >= 1
