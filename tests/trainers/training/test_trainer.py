"""What a trainer saves as its best, and how the averages of its weights begin."""

import types

import pytest

from tests.making.run_folders import make_run
from trainers.run_folder import checkpoints
from trainers.run_folder.files import LoopState
from trainers.training.trainer import Trainer, average_decay


def save(run, errors, monkeypatch, *, full=False):
    """Saves as after the last of these evaluations, perhaps to a full disk."""
    trainer = types.SimpleNamespace(
        step=types.SimpleNamespace(average_over_replicas=lambda: None),
        devices=types.SimpleNamespace(workers=types.SimpleNamespace(chief=True)),
        config=types.SimpleNamespace(keep_checkpoints=2),
        state=LoopState(step=len(errors), label_order="x", validation_errors=errors, window=[]),
        _variables=dict,
    )

    def no_room(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if full:
            patch.setattr(checkpoints, "mark_best", no_room)
        Trainer.save(trainer, run, evaluated=True)


def test_a_best_that_was_never_written_does_not_keep_the_next_from_being_it(tmp_path, monkeypatch):
    run = make_run(tmp_path, top1s=(), finished=False)
    errors = [0.9]
    save(run, errors, monkeypatch)
    with pytest.raises(OSError, match="No space"):
        save(run, [*errors, 0.3], monkeypatch, full=True)
    assert checkpoints.best_state(run.checkpoints).step == 1
    save(run, [*errors, 0.3, 0.5], monkeypatch)
    assert checkpoints.best_state(run.checkpoints).step == 3, "better than what is there"
    save(run, [*errors, 0.3, 0.5, 0.6], monkeypatch)
    assert checkpoints.best_state(run.checkpoints).step == 3
    save(run, [*errors, 0.3, 0.5, 0.6, 0.5], monkeypatch)
    assert checkpoints.best_state(run.checkpoints).step == 5, "of equals the last"


def test_a_short_training_has_averages_of_what_it_has_learned():
    """With 0.9999 from the first step on, 99 % of the average would be the untrained weights."""
    untrained, decays = 1.0, [average_decay(0.9999, step) for step in range(120)]
    for decay in decays:
        untrained *= decay
    assert untrained < 1e-9 < 0.98 < 0.9999**120
    assert decays == sorted(decays) and decays[0] == 0.1
    assert average_decay(0.9999, 100_000) == 0.9999
    assert average_decay(0.5, 10**6) == 0.5 and average_decay(0.0, 5) == 0.0
