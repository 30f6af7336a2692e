"""Checkpoints: what is restored is what was saved, and damage is noticed."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from trainers.run_folder import checkpoints
from trainers.run_folder.files import LoopState


def make_variables(units: int = 3) -> dict[str, tf.Variable]:
    inputs = keras.Input((4,))
    hidden = keras.layers.BatchNormalization(name="bn")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(units, name="fc")(hidden))
    return checkpoints.model_variables(model) | {"optimizer/step": tf.Variable(0, dtype=tf.int64)}


def state(step: int) -> LoopState:
    return LoopState(step=step, label_order="abc", validation_errors=[0.5], window=[1.0, 2.0])


def save(directory: pathlib.Path, step: int, keep: int = 2) -> pathlib.Path:
    variables = make_variables()
    for variable in variables.values():
        variable.assign(tf.fill(variable.shape, tf.cast(step, variable.dtype)))
    return checkpoints.save(directory, variables, state(step), keep=keep)


def test_everything_comes_back(tmp_path):
    save(tmp_path, 7)
    variables = make_variables()
    checkpoint = checkpoints.load_latest(tmp_path)
    checkpoint.restore(variables, prefix="")
    assert checkpoint.state == state(7)
    assert len(variables) == 7
    for name, variable in variables.items():
        assert np.all(variable.numpy() == 7), name


def test_only_the_newest_are_kept_and_the_best_outlives_them(tmp_path):
    for step in (1, 2, 3, 4):
        path = save(tmp_path, step)
        if step == 2:
            checkpoints.mark_best(path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.npz", "step-00000003.npz", "step-00000004.npz"]
    assert checkpoints.load(tmp_path / "best.npz").state == state(2)


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_falls_back_loudly(tmp_path, capsys, damage):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[content.index(b"\x93NUMPY") + 130] ^= 1
    newest.write_bytes({"truncated": content[:-100], "empty": b"", "flipped": content}[damage])
    assert checkpoints.load_latest(tmp_path).state == state(1)
    assert str(newest) in capsys.readouterr().out


@pytest.mark.parametrize(("field", "value"), [(6, 99), (8, 1), (10, 99)])
def test_a_checkpoint_of_an_unknown_zip_is_damaged(tmp_path, field, value):
    """By its version, encryption or method of packing."""
    path = save(tmp_path, 1)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + field] = value
    path.write_bytes(content)
    assert "is damaged" in checkpoints.fault(path)
    with pytest.raises(UserError, match="is damaged"):
        checkpoints.load(path)


def test_no_readable_checkpoint_is_an_error(tmp_path):
    assert checkpoints.load_latest(tmp_path) is None
    save(tmp_path, 1).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="damaged"):
        checkpoints.load_latest(tmp_path)


def test_another_net_is_refused(tmp_path):
    checkpoint = checkpoints.load(save(tmp_path, 1))
    with pytest.raises(UserError, match="shape"):
        checkpoint.restore(make_variables(units=5), prefix="")
    other = make_variables() | {"model/other/kernel": tf.Variable(0.0)}
    with pytest.raises(UserError, match="model/other/kernel"):
        checkpoint.restore(other, prefix="")


def test_a_full_disk_leaves_the_checkpoints_as_they_were(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def no_space(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.np, "savez", no_space)
    with pytest.raises(OSError):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.npz"]


def test_a_checkpoint_is_readable_without_the_project(tmp_path):
    with np.load(save(tmp_path, 5)) as file:
        assert file["model/fc/kernel"].shape == (4, 3)
        assert json.loads(file["state"].tobytes())["step"] == 5
