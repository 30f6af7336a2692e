"""Trainings that begin with the weights of a run or of a file, and that freeze layers."""

import json
import pathlib
import shutil

import numpy as np
import pytest

import trainers
from base.errors import UserError
from tests.making.datasets import write_dataset
from trainers import config
from trainers.report import page
from trainers.report.diff import diff_text
from trainers.report.tables import show_text
from trainers.run_folder import checkpoints
from trainers.run_folder.finding import find_run
from trainers.run_folder.metrics import read_metrics
from trainers.run_folder.records import read_record
from trainers.training import session
from trainers.training.trainer import Trainer
from trainers.weights.initial import Source, take

NET = '''
"""Two convolutions with batch norm, and an auxiliary head between them."""
import nets


def body(nn, x, num_classes):
    x = nn.conv_bn_relu(x, 4, 3, strides=4, name="conv1")
    aux = nn.fc(nn.global_avg_pool(x, name="aux1_pool"), num_classes, name="aux1_fc")
    x = nn.conv_bn_relu(x, 4, 3, name="conv2")
    x = nn.global_avg_pool(x, name="pool")
    return {"logits": nn.fc(x, num_classes, name="fc3"), "aux1": aux}


BATCH_NORM = nets.BatchNorm(momentum=0.9, epsilon=1e-5)
NETS = (
    nets.Net(
        name="two_convs", body=body, batch_norm=BATCH_NORM, auxiliary_weights={"aux1": 0.3}
    ),
)
'''
FLAGS = (
    "--net=two_convs",
    "--train_map=decode_random_crop(24)",
    "--eval_map=decode_center_crop(24)",
    "--train_batch_size=12",
    "--eval_batch_size=12",
    "--train_steps=2",
    "--log_steps=1",
    "--replicas=cpu",
)
HEAD = {"fc3/kernel", "fc3/bias", "aux1_fc/kernel", "aux1_fc/bias"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> pathlib.Path:
    """A workspace with data sets of 5 and 3 classes, and `old`, a run on the one of 5."""
    root = tmp_path_factory.mktemp("made")
    write_dataset(root / "five", num_classes=5)
    write_dataset(root / "three", num_classes=3)
    (root / "net.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        session.train(flags("--experiment=old", "--data_dir=five", "--learning_rate=0.1"))
    return root


@pytest.fixture
def workspace(made, tmp_path, monkeypatch) -> pathlib.Path:
    """The same to work in: the working directory."""
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def flags(*more: str) -> config.TrainConfig:
    return config.parse([*FLAGS, "--plugins=net.py", "--data_dir=three", *more])


def begun(*more: str) -> Trainer:
    """A trainer that has taken no step."""
    read = flags("--init_from=old", *more)
    session.load_plugins(read)
    devices, pipeline = session.opened(read)
    trainer = Trainer(read, pipeline, session.nets, devices)
    trainer.take_initial_weights(None)
    return trainer


def arrays(run: str, file: str = "best.npz", kind: str = "model/") -> dict[str, np.ndarray]:
    """A checkpoint's arrays by their names after their kind's."""
    found = checkpoints.load(find_run(run).checkpoints / file).arrays
    return {n.removeprefix(kind): array for n, array in found.items() if n.startswith(kind)}


def test_all_is_taken_but_the_new_head_and_what_was_not_is_said(workspace):
    trainer, old = begun("--new_head"), arrays("old")
    assert old.keys() > HEAD
    for variable in trainer.net.model.weights:
        if variable.path not in HEAD:
            np.testing.assert_array_equal(variable.numpy(), old[variable.path])
        else:
            assert variable.shape[-1] == 3
    initial = trainer.initial
    assert set(initial.anew) == set(initial.left) == HEAD and initial.taken == len(old) - 4
    [line] = trainer.begins_with()
    assert f"{initial.taken} arrays of runs/old/1/checkpoints/best.npz" in line
    assert "anew: aux1_fc/bias, aux1_fc/kernel, fc3/bias, fc3/kernel" in line
    note = begun("--new_head", "--eval_device_map=mean_std").begins_with()[1]
    assert "normalised by subtract_mean, these are by mean_std" in note


def test_for_the_same_classes_the_head_is_taken_too_and_a_checkpoint_may_be_named(workspace):
    for name in ("runs/old/1", "old/1", "runs/old/1/checkpoints/step-00000002.npz"):
        trainer = begun("--data_dir=five", f"--init_from={name}")
        for variable in trainer.net.model.weights:
            np.testing.assert_array_equal(variable.numpy(), arrays("old")[variable.path])


@pytest.mark.slow(reason="it trains")
@pytest.mark.parametrize(
    "more",
    [
        ["--replicas=cpu:1"],
        ["--replicas=cpu:2"],
        ["--replicas=cpu:3"],  # by which a mean of equal values is not always exact
        ["--train_map=decode_random_crop({size})", "--train_sizes=0:24,1:32"],
    ],
)
def test_frozen_layers_stay_as_they_were_to_the_bit(workspace, more, capsys):
    run, _ = session.train(
        flags(
            *("--init_from=old", "--new_head", "--freeze=conv1", "--experiment=new"),
            *("--weight_decay=0.1", "--decoupled_weight_decay=0.1", "--ema_decay=0.9"),
            *("--learning_rate=0.1", "--train_batch_size=60", *more),
        )
    )
    old, last = arrays("old"), f"step-{2:08d}.npz"
    new, averaged = arrays("new", last), arrays("new", last, "ema/")
    frozen = {name for name in old if name.startswith("conv1")}
    assert {"conv1/kernel", "conv1_bn/moving_mean", "conv1_bn/moving_variance"} < frozen
    for name in frozen:
        np.testing.assert_array_equal(new[name], old[name])
        np.testing.assert_array_equal(averaged[name], old[name])
    for name in ("conv2/kernel", "conv2_bn/moving_mean"):
        assert (new[name] != old[name]).all()
    slots = arrays("new", last, "optimizer/velocity/")
    assert slots and not any(name.startswith("conv1") for name in slots)
    said = capsys.readouterr().out
    assert "frozen: 2 of 6 layers with weights" in said and "weights: 10 arrays of runs/old" in said
    recorded = json.loads((run.directory / "initial.json").read_text())
    assert recorded["taken"] == 10 and set(recorded["left"]) == HEAD
    for text in (
        show_text(read_record(run.directory)),
        diff_text(read_record(find_run("old").directory), read_record(run.directory)),
        page.page([read_record(run.directory)], run.directory.parents[1]),
    ):
        assert "runs/old/1/checkpoints/best.npz" in text


@pytest.mark.slow(reason="it trains twice")
def test_the_head_alone_learns_faster(workspace):
    start = {v.path: v.numpy() for v in begun("--new_head").net.model.trainable_variables}
    changes = []
    for factor in (1, 10):
        more = ("--init_from=old", "--new_head", "--train_steps=1", "--optimizer=sgd(0.0)")
        session.train(flags(*more, f"--head_rate_factor={factor}", f"--experiment=by{factor}"))
        new = arrays(f"by{factor}")
        changes.append({name: new[name] - value for name, value in start.items()})
    for name in start:
        factor = 10 if name in HEAD else 1
        assert np.abs(changes[0][name]).max() > 0 or name.startswith("conv")
        np.testing.assert_allclose(changes[1][name], factor * changes[0][name], atol=1e-6)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], r"best.npz does not fit two_convs: .* shape \(5,\), the net's \(3,\): --new_head"),
        (["--new_head", "--net=resnet10(width=4)"], "best.npz does not fit resnet10: the net has "),
        (["--init_from=nothing.npz"], "--init_from=nothing.npz is neither .*; nor is it a file"),
        (["--init_from=nothing"], "--init_from=nothing is neither a run folder nor a run in runs/"),
        (["--init_from=net.py"], "--init_from=net.py cannot be read as .h5"),
        (["--new_head", "--freeze=conv9"], "--freeze=conv9 matches no layer .*: there are conv1, "),
        (["--freeze=."], r"--freeze=\. matches every layer of two_convs: nothing is left"),
        (["--new_head", "--freeze=conv|fc"], r"matches fc3, which --new_head begins anew: '\$'"),
        (["--freeze=(conv"], r"--freeze=\(conv is no regular expression: "),
        (["--init_from=", "--new_head"], "--new_head leaves out a part of --init_from"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_run(workspace, more, says):
    with pytest.raises(UserError, match=says) as raised:
        session.train(flags("--init_from=old", "--experiment=new", *more))
    assert "\n" not in str(raised.value)
    assert not (workspace / "runs" / "new").exists()


def test_classes_in_another_order_and_values_that_are_not_finite_are_refused(workspace):
    trainer, old = begun("--data_dir=five"), arrays("old")
    model = trainer.net.model
    path = find_run("old").checkpoints / "best.npz"
    for source, says in (
        (Source(path, old, "another order"), "label order another orde, .* --new_head"),
        (Source(path, old | {"conv1/kernel": np.nan * old["conv1/kernel"]}), "are not finite"),
        (Source(path, {n: a for n, a in old.items() if "aux" not in n}), "has aux1_fc.*--new_head"),
    ):
        with pytest.raises(UserError, match=says):
            take(source, model, ("fc3/", "aux1"), "the data set's", new_head=False)


@pytest.mark.slow(reason="it trains twice")
def test_a_continued_run_takes_no_weights_again_once_it_has_a_checkpoint(workspace, capsys):
    new = flags("--init_from=old", "--new_head", "--experiment=new", "--eval_epochs=0.2")
    run, _ = session.train(new)
    losses = [line.loss for line in read_metrics(run.directory)]
    source = find_run("old").checkpoints / "best.npz"
    # Stopped after its first step: the source is not even looked at.
    source.rename("kept.npz")
    (run.directory / "result.json").unlink()
    (run.checkpoints / f"step-{2:08d}.npz").unlink()
    capsys.readouterr()
    assert session.train(new)[0] == run
    assert "weights: " not in capsys.readouterr().out
    assert [line.loss for line in read_metrics(run.directory)] == losses
    # Killed before its first checkpoint: from the same weights, or not at all.
    for name in ("result.json", "metrics.jsonl"):
        (run.directory / name).unlink()
    shutil.rmtree(run.checkpoints)
    shutil.copy(find_run("old").checkpoints / f"step-{2:08d}.npz", source)
    with source.open("ab") as file:
        file.write(b" ")
    with pytest.raises(UserError, match=r"begun with other weights than .* --noresume"):
        session.train(new)
    pathlib.Path("kept.npz").replace(source)
    assert session.train(new)[0] == run
    assert [line.loss for line in read_metrics(run.directory)] == losses


def test_published_weights_of_other_classes_are_begun_with(workspace, sample_dir):
    squeezenet = (
        *("--net=squeezenet1_0", f"--init_from={sample_dir / 'squeezenet1_0.npz'}"),
        *("--train_map=decode_random_crop(40)", "--eval_map=decode_center_crop(40)"),
    )
    with pytest.raises(UserError, match=r"conv10/bias has shape \(1000,\).*--new_head begins"):
        begun(*squeezenet)
    trainer = begun(*squeezenet, "--new_head", "--freeze=conv1$|fire")
    published = np.load(sample_dir / "squeezenet1_0.npz")
    found = trainer.net.model.get_layer("fire9_squeeze1x1").kernel
    np.testing.assert_array_equal(found, published["fire9.conv1x1_1.kernel"])
    assert trainer.initial.taken == 50 and trainer.initial.anew == ("conv10/bias", "conv10/kernel")
    trained = [variable.path for variable in trainer.net.model.trainable_variables]
    assert trained == ["conv10/kernel", "conv10/bias"]


def test_from_python_a_run_s_net_has_its_trained_weights(workspace):
    model = trainers.load_run("old").model
    for variable in model.weights:
        np.testing.assert_array_equal(variable.numpy(), arrays("old")[variable.path])
    assert model(np.zeros([2, 24, 24, 3], np.float32)).shape == (2, 5)
