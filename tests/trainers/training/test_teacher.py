"""Distillation: a run teaches another, on the same images, and is left as it is."""

import numpy as np
import pytest

import nets
import trainers
from base.errors import UserError
from pipelines.config import Phase
from tests.making.datasets import write_dataset
from tests.making.trained_runs import random_run
from trainers import config
from trainers.report.tables import show_text
from trainers.run_folder import checkpoints
from trainers.run_folder.metrics import read_metrics
from trainers.run_folder.records import read_record
from trainers.training import losses, session
from trainers.training.teacher import TAUGHT
from trainers.training.trainer import Trainer

pytestmark = pytest.mark.slow(reason="it trains a teacher, and nets that it teaches")

NET = '''
"""One convolution, and a head of its own for what a teacher says."""
import nets


def body(nn, x, num_classes):
    x = nn.relu(nn.conv(x, 4, 3, strides=4, name="conv1"), name="relu1")
    x = nn.dropout(nn.global_avg_pool(x, name="pool"), 0.2, name="drop")
    taught = nn.fc(x, num_classes, name="fc2_distillation")
    return {"logits": nn.fc(x, num_classes, name="fc2"), "distillation": taught}


def flat(nn, x, num_classes):
    return nn.fc(nn.max_pool(x, 4, 4, name="pool"), num_classes, name="fc")


NETS = (nets.Net(name="two_heads", body=body), nets.Net(name="flat", body=flat))
'''
FLAGS = (
    "--plugins=net.py",
    "--net=two_heads",
    "--train_map=decode_random_crop(24)",
    "--eval_map=decode_center_crop(24)",
    "--train_device_map=random_flip|mean_std|mixup(0.4)",
    "--eval_device_map=mean_std",
    "--train_batch_size=16",
    "--eval_batch_size=16",
    "--train_epochs=2",
    "--log_steps=1",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The working directory, with data of 5 and of 3 classes, and two runs on the former.

    `teacher` has batch normalisation, and its images were normalised otherwise.
    """
    root = tmp_path_factory.mktemp("taught")
    write_dataset(root / "five", train=48)
    write_dataset(root / "three", train=48, num_classes=3)
    (root / "net.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        session.load_plugins(flags())
        chain = "--eval_device_map=to_bgr|cast(255)"
        for experiment, net in (("teacher", "resnet10(width=4)"), ("flat", "flat")):
            more = ("--plugins=net.py", f"--experiment={experiment}", chain)
            random_run(root / "runs", root / "five", net, 24, *more)
        yield root


def flags(*more: str) -> config.TrainConfig:
    return config.parse([*FLAGS, "--data_dir=five", "--replicas=cpu:1", *more])


def made(*more: str) -> Trainer:
    read = flags("--teacher=teacher", *more)
    session.load_plugins(read)
    devices, pipeline = session.opened(read)
    return Trainer(read, pipeline, nets, devices)


def test_it_is_given_the_same_images_normalised_as_its_own_were(workspace):
    trainer = made()
    batch = next(iter(trainer.pipeline.train(16)))
    plain = trainer.pipeline.chains(Phase.TRAIN).on_device(batch)
    ours = trainer.on_device(batch)
    np.testing.assert_array_equal(ours["image"], plain["image"])
    np.testing.assert_array_equal(ours["label"], plain["label"])
    statistics = trainer.pipeline.dataset.statistics
    levels = plain["image"] * statistics.channel_std + statistics.channel_mean
    expected = trainers.load_run("teacher").model(levels[..., ::-1] / 255, training=False)
    np.testing.assert_allclose(ours[TAUGHT], expected, rtol=1e-3, atol=1e-4)
    assert not any(variable.path.startswith("res") for variable in trainer.net.model.weights)


def test_the_step_minimises_both_losses_and_the_teacher_s_goes_to_its_own_head(workspace):
    trainer = made("--distillation=soft(temperature=2.0, alpha=0.3)", "--net=two_heads")
    batch = trainer.on_device(next(iter(trainer.pipeline.train(16))))
    with nets.example_seeds(batch["seed"]):
        outputs = trainer.net.model(batch["image"], training=True)
    of_labels = losses.cross_entropy(outputs["logits"], batch["label"])
    of_teacher = losses.soft(2.0).loss(outputs["distillation"], batch[TAUGHT])
    [row] = trainer.take_steps(trainer.batches(), 1)
    np.testing.assert_allclose(row[0], np.sum(0.7 * of_labels + 0.3 * of_teacher), rtol=1e-5)


def test_a_taught_run_goes_on_bit_for_bit_on_replicas_too_and_says_by_whom(workspace, capsys):
    taught = flags("--teacher=teacher", "--replicas=cpu:2", "--experiment=taught")
    whole, _ = session.train(taught)
    before, expected = arrays(whole), losses_of(whole)
    one = made()
    rows = one.take_steps(one.batches(), 6)
    trained = [line.loss for line in read_metrics(whole.directory) if line.split == "train"]
    np.testing.assert_allclose(rows[:, 0] / 16, trained, rtol=1e-5)
    (whole.directory / "result.json").unlink()
    (whole.checkpoints / "step-00000006.npz").unlink()
    again, _ = session.train(taught)
    assert again == whole and losses_of(again) == expected
    assert arrays(again).keys() == before.keys()
    for name, array in arrays(again).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    teacher = read_record(whole.directory).teacher
    assert teacher.source == "runs/teacher/1/checkpoints/best.npz" and len(teacher.sha256) == 64
    assert f"teacher: {teacher.line()}" in capsys.readouterr().out
    assert f"taught by {teacher.line()}" in show_text(read_record(whole.directory))

    (whole.directory / "result.json").unlink()
    path = whole.directory / "teacher.json"
    path.write_text(path.read_text().replace(teacher.sha256, "0" * 64))
    with pytest.raises(UserError, match=r"was taught by other weights than .*best.npz has now"):
        session.train(taught)


def losses_of(run) -> list[float]:
    return [line.loss for line in read_metrics(run.directory)]


def arrays(run) -> dict[str, np.ndarray]:
    return dict(checkpoints.load_latest(run.checkpoints).arrays)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--data_dir=three", "--teacher=teacher: .*best.npz was trained with the label order"),
        ("--teacher=nobody", "--teacher=nobody is neither a run"),
        ("--train_device_map=random_flip", "--teacher=teacher: .*no normalisation"),
        ("--distillation=soft(0)", "soft.*temperature"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_by_name(workspace, given, said):
    with pytest.raises(UserError, match=said):
        made(given)


def test_a_net_with_a_head_for_a_teacher_needs_one(workspace):
    with pytest.raises(UserError, match="two_heads has a head that learns from a teacher"):
        session.train(flags())
    with pytest.raises(UserError, match=r"--distillation=soft\(\) says how --teacher teaches"):
        session.train(flags("--net=flat", "--distillation=soft()"))


def test_a_teacher_whose_weights_fit_images_of_one_size_only(workspace):
    made("--teacher=flat")
    with pytest.raises(UserError, match=r"--teacher=flat: .*fc/kernel.*images of 32x32"):
        made("--teacher=flat", "--train_map=decode_random_crop(32)")
