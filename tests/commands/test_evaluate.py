"""Real weights on real photographs, by the commands as a user runs them."""

import json
import shutil
import tarfile
import time

import numpy as np
import pytest

from data_prep import schema
from tests.conftest import assert_one_line_error, run_command

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def squeezenet(sample_dir, real_data, tmp_path_factory):
    """A run of SqueezeNet with its authors' weights."""
    experiment = tmp_path_factory.mktemp("runs") / "squeezenet1_0"
    done = run_command(
        "trainers/import_weights.py",
        "--flagfile=flags/squeezenet1_0.cfg",
        f"--from={sample_dir / 'squeezenet1_0.npz'}",
        f"--run={experiment}",
        f"--data_dir={real_data}",
    )
    assert f"run folder: {experiment / '1'}" in done.stdout
    return experiment / "1"


@pytest.fixture(scope="module")
def scored(squeezenet):
    """What evaluate.py found of it by its defaults, and what it printed."""
    return evaluate(squeezenet)


def evaluate(run, *arguments):
    done = run_command("trainers/evaluate.py", f"--run={run}", *arguments)
    return json.loads((run / "evaluation_center_crop_validation.json").read_text()), done.stdout


def ground_truth(sample_dir):
    """The devkit's: an ILSVRC2012_ID for each validation image."""
    with tarfile.open(sample_dir / "ilsvrc2012_sample" / "ILSVRC2012_devkit_t12.tar.gz") as tar:
        name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
        return tar.extractfile(name).read().decode().split()


def test_real_weights_score_as_they_do_elsewhere(squeezenet, scored):
    # 64 % and 87 % of 100 other photographs of the sample are right by another framework; the
    # intervals of both samples overlap widely. Chance is 0.1 %.
    result, printed = scored
    assert result["images"] == 116
    assert result["top1_interval"][0] < 0.64 + 0.096 and result["top1"] > 0.64 - 2 * 0.096
    assert result["top5_interval"][1] > 0.87 - 0.066 and result["top5"] > 0.87 - 2 * 0.066
    assert "published: center crop" in printed
    again, _ = evaluate(squeezenet, "--replicas=cpu:2", "--eval_batch_size=10")
    assert (again["top1"], again["top5"]) == (result["top1"], result["top5"])


def test_a_wrong_label_order_scores_nothing(squeezenet, real_data, sample_dir, tmp_path):
    # The order of ILSVRC2012_ID, the classic mistake: the net is right, the rows are not its own.
    table = (sample_dir / "ilsvrc2012_synsets.tsv").read_text().splitlines()[1:]
    ids = np.array([int(line.split("\t")[2]) - 1 for line in table])
    wrong = tmp_path / "1"
    shutil.copytree(squeezenet, wrong)
    path = wrong / "checkpoints" / "best.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name in ("model/conv10/kernel", "model/conv10/bias"):
        permuted = np.empty_like(arrays[name])
        permuted[..., ids] = arrays[name]
        arrays[name] = permuted
    path.unlink()
    np.savez(path, **arrays)
    result, _ = evaluate(wrong)
    assert result["top1"] <= 0.02 and result["top5"] <= 0.05
    # Where the data set says so itself, nothing is scored at all.
    copy = tmp_path / "data"
    shutil.copytree(schema.find_dataset(real_data), copy)
    manifest = json.loads((copy / schema.MANIFEST_FILE).read_text())
    manifest["wnids"] = [manifest["wnids"][label] for label in np.argsort(ids)]
    manifest["label_order"] = schema.label_order_hash(manifest["wnids"])
    (copy / schema.MANIFEST_FILE).write_text(json.dumps(manifest))
    done = run_command("trainers/evaluate.py", f"--run={squeezenet}", f"--data_dir={copy}", code=1)
    assert_one_line_error(done, "label order")


def test_single_files_are_predicted_as_they_are_scored(squeezenet, scored, sample_dir, tmp_path):
    result, _ = scored
    with tarfile.open(sample_dir / "ilsvrc2012_sample" / "ILSVRC2012_img_val.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    done = run_command("trainers/predict.py", f"--run={squeezenet}", "--json", str(tmp_path))
    predicted = [json.loads(line) for line in done.stdout.splitlines()]
    table = (sample_dir / "ilsvrc2012_synsets.tsv").read_text().splitlines()[1:]
    wnid_of_id = {line.split("\t")[2]: line.split("\t")[1] for line in table}
    truth = ground_truth(sample_dir)
    first = fifth = 0
    for line in predicted:
        wnid = wnid_of_id[truth[int(line["file"][-13:-5]) - 1]]
        found = [each["wnid"] for each in line["predictions"]]
        first, fifth = first + (found[0] == wnid), fifth + (wnid in found)
    assert len(predicted) == result["images"]
    assert first / len(predicted) == pytest.approx(result["top1"])
    assert fifth / len(predicted) == pytest.approx(result["top5"])


def test_real_labels_by_file_number(squeezenet, sample_dir, tmp_path):
    # ReaL labels that allow every class make everything right; the rest of the files have none.
    with tarfile.open(sample_dir / "ilsvrc2012_sample" / "ILSVRC2012_img_val.tar") as tar:
        numbers = sorted(int(name[-13:-5]) for name in tar.getnames())
    labels = [[] for _ in range(50_000)]
    for number in numbers[::2]:
        labels[number - 1] = list(range(1000))
    path = tmp_path / "real.json"
    path.write_text(json.dumps(labels))
    result, printed = evaluate(squeezenet, f"--real_labels={path}")
    assert result["real_images"] == 58
    assert result["real_top1"] == 1.0
    assert f"over {result['real_images']} images; 58 have none and are left out" in printed
    assert "entry k is of ILSVRC2012_val_k" in printed


def test_real_labels_that_are_ilsvrcs_own_give_the_same_accuracy(
    squeezenet, scored, sample_dir, tmp_path
):
    table = (sample_dir / "ilsvrc2012_synsets.tsv").read_text().splitlines()[1:]
    wnid_of_id = {line.split("\t")[2]: line.split("\t")[1] for line in table}
    label_of = {wnid: label for label, wnid in enumerate(sorted(wnid_of_id.values()))}
    path = tmp_path / "real.json"
    labels = [[label_of[wnid_of_id[number]]] for number in ground_truth(sample_dir)]
    path.write_text(json.dumps(labels))
    result, _ = evaluate(squeezenet, f"--real_labels={path}")
    assert result["real_images"] == 116
    assert result["real_top1"] == result["top1"] == scored[0]["top1"]


def test_wrong_weights_are_one_line_and_leave_no_run(sample_dir, real_data, tmp_path):
    done = run_command(
        "trainers/import_weights.py",
        "--net=resnet50",
        f"--from={sample_dir / 'squeezenet1_0.npz'}",
        f"--run={tmp_path / 'run'}",
        f"--data_dir={real_data}",
        code=1,
    )
    assert_one_line_error(done, "resnet50", "squeezenet1_0")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "import_weights"])
def test_help_answers_at_once_and_without_a_run_there_is_one_line(command):
    began = time.monotonic()
    done = run_command(f"trainers/{command}.py", "--help")
    assert time.monotonic() - began < 5, "no TensorFlow is imported for it"
    assert "--run" in done.stdout or "--from" in done.stdout
    assert_one_line_error(run_command(f"trainers/{command}.py", code=1), "--")


def test_a_score_that_cannot_be_written_is_printed(squeezenet, tmp_path):
    occupied = tmp_path / "file"
    occupied.touch()
    done = run_command(
        "trainers/evaluate.py", f"--run={squeezenet}", f"--output={occupied}/result.json", code=1
    )
    assert "validation, center_crop: top-1" in done.stdout and "116 images" in done.stdout
    assert "weights of step 0 (best.npz)" in done.stdout
    assert_one_line_error(done, f"{occupied}/result.json was not written", "--output=FILE")
