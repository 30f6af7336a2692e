"""What an evaluation saves of each image: kept whole, or refused in one line."""

import dataclasses

import numpy as np
import pytest

from base.errors import UserError
from tests.making.predictions import CLASSES, picture, predictions_of
from trainers.run_folder import predictions


@pytest.fixture
def said():
    rows = np.random.default_rng(0).dirichlet(np.ones(CLASSES), 6)
    rows[5] = np.nan
    words = tuple(f"bird {label}, fowl" for label in range(CLASSES - 1))
    return dataclasses.replace(
        predictions_of([0, 1, 2, 3, 4, 5], rows),
        words=(*words, "n00000007"),
        names=("<a>.JPEG", "ü.JPEG", "", "", "", ""),
        pictures={1: picture(10), 4: picture(200)},
    )


def test_everything_comes_back(said, tmp_path):
    path = predictions.beside(tmp_path / "evaluation_center_crop_validation.json")
    predictions.save(path, said)
    found = predictions.load(path)
    for field in dataclasses.fields(said):
        value, wanted = getattr(found, field.name), getattr(said, field.name)
        if isinstance(wanted, np.ndarray):
            np.testing.assert_array_equal(value, wanted.astype(value.dtype))
        else:
            assert value == wanted, field.name
    assert (found.name(1), found.name(2)) == ("ü.JPEG", "validation image 2")
    assert (found.class_name(3), found.class_name(7)) == ("bird 3 (n00000003)", "n00000007")


def test_of_what_is_not_finite_nothing_was_said(said):
    assert (said.top[5] == -1).all()
    assert not said.right[5] and said.confidence[5] == 0


def test_damage_is_one_line_that_says_what_writes_it_again(said, tmp_path):
    path = tmp_path / "x.predictions.npz"
    with pytest.raises(UserError, match=r"there is no .*: evaluate\.py --save_predictions"):
        predictions.load(path)
    predictions.save(path, said)
    whole = path.read_bytes()
    for damaged in (b"", b"no zip", whole[:900], whole[:2000]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged") as error:
            predictions.load(path)
        assert "\n" not in str(error.value)
    predictions.save(path, said)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **arrays | {"labels": arrays["labels"] + CLASSES})
    with pytest.raises(UserError, match="out of range"):
        predictions.load(path)
    np.savez(path, **arrays | {"losses": arrays["losses"][1:]})
    with pytest.raises(UserError, match="do not fit one another"):
        predictions.load(path)
