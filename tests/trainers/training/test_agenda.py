"""What is due at which step: laws that hold for any flags, and the sums that people do by hand."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import PipelineConfig
from trainers.config import TrainConfig
from trainers.training.agenda import Agenda, Event, steps_of


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "steps"),
    [(1.1, 100, 110), (0.1, 30, 3), (90.0, 10009, 900810), (0.07, 100, 7), (2.675, 1000, 2675)],
)
def test_epochs_are_the_decimal_numbers_that_people_wrote(epochs, steps_per_epoch, steps):
    assert steps_of(epochs, steps_per_epoch) == steps
    agenda = Agenda.of(TrainConfig(net="alexnet", train_epochs=epochs), steps_per_epoch)
    assert agenda.total_steps == steps


def test_a_part_of_a_step_is_a_step():
    assert Agenda.of(TrainConfig(net="alexnet", train_epochs=0.5), 25).total_steps == 13


def test_evaluations_do_not_drift_from_their_epochs():
    config = TrainConfig(net="alexnet", train_epochs=4, eval_epochs=0.5)
    agenda = Agenda.of(config, 25)
    found = [step for step in range(1, 101) if Event.EVALUATE in agenda.at(step)]
    assert found == [13, 25, 38, 50, 63, 75, 88, 100]


def test_what_the_flags_ask_for_comes_when_they_say():
    config = TrainConfig(
        pipeline=PipelineConfig(
            train_map="decode_random_crop({size})", train_sizes=("0:16", "1:24", "3:32")
        ),
        net="alexnet",
        train_epochs=3,
        log_steps=4,
        eval_epochs=2,
        diagnose_steps=6,
        profile_steps="3:6",
    )
    agenda = Agenda.of(config, 5)
    due = {step: agenda.at(step) for step in range(16) if agenda.at(step)}
    assert due == {
        2: [Event.START_PROFILE],
        4: [Event.LOG],
        5: [Event.RESIZE],
        6: [Event.STOP_PROFILE, Event.DIAGNOSE],
        8: [Event.LOG],
        10: [Event.EVALUATE],
        12: [Event.LOG],
        15: [Event.LOG, Event.EVALUATE],
    }, "the size of an epoch that never begins is not asked for"


agendas = st.builds(
    Agenda,
    total_steps=st.integers(1, 300),
    steps_per_epoch=st.integers(1, 50),
    log_steps=st.integers(1, 100),
    evaluate_steps=st.fractions(Fraction(1, 20), 400, max_denominator=20),
    resize_steps=st.lists(st.integers(1, 400), max_size=3, unique=True).map(tuple),
    diagnose_step=st.integers(0, 400),
    profile=st.none() | st.tuples(st.integers(0, 100), st.integers(100, 400)),
)


@given(agendas)
def test_a_loop_that_goes_from_stop_to_stop_misses_nothing(agenda):
    seen, step = {}, 0
    while step < agenda.total_steps:
        later = agenda.next(step)
        assert step < later <= agenda.total_steps
        step = later
        seen[step] = agenda.at(step)
    assert step == agenda.total_steps
    everything = {step: agenda.at(step) for step in range(1, agenda.total_steps + 1)}
    assert {s: due for s, due in everything.items() if due} == {s: d for s, d in seen.items() if d}


@given(agendas, st.data())
def test_a_loop_that_is_resumed_anywhere_does_the_rest(agenda, data):
    start = data.draw(st.integers(0, agenda.total_steps - 1))
    later = agenda.next(start)
    assert all(not agenda.at(step) for step in range(start + 1, later))
    assert agenda.at(later) or later == agenda.total_steps


@given(agendas)
def test_the_end_is_logged_and_evaluated_last(agenda):
    assert agenda.at(agenda.total_steps)[-2:] in (
        [Event.LOG, Event.EVALUATE],
        [Event.DIAGNOSE, Event.LOG, Event.EVALUATE][-2:],
    )


@given(agendas)
def test_evaluations_are_as_many_as_their_interval_says(agenda):
    found = sum(Event.EVALUATE in agenda.at(s) for s in range(1, agenda.total_steps + 1))
    most = math.ceil(agenda.total_steps / agenda.evaluate_steps) + 1
    intervals = range(1, most + 1)
    wanted = {math.floor(k * agenda.evaluate_steps + Fraction(1, 2)) for k in intervals}
    assert found == len({s for s in wanted if 0 < s <= agenda.total_steps} | {agenda.total_steps})
