"""Losses against NumPy, and the counts that accuracies come from."""

import numpy as np
import pytest
import tensorflow as tf

from base.errors import UserError
from trainers.training import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 10)).astype(np.float32)
LABELS = np.array([0, 3, 9, 3, 5, 1], np.int32)


def reference(targets: np.ndarray) -> np.ndarray:
    exponentials = np.exp(LOGITS.astype(np.float64))
    return -(targets * np.log(exponentials / exponentials.sum(1, keepdims=True))).sum(1)


def test_cross_entropy_of_labels():
    found = losses.cross_entropy(tf.constant(LOGITS), tf.constant(LABELS))
    np.testing.assert_allclose(found, reference(np.eye(10)[LABELS]), rtol=1e-5)


def test_label_smoothing_mixes_in_the_uniform_distribution():
    found = losses.cross_entropy(tf.constant(LOGITS), tf.constant(LABELS), label_smoothing=0.1)
    np.testing.assert_allclose(found, reference(0.9 * np.eye(10)[LABELS] + 0.01), rtol=1e-5)


def test_distributions_as_labels():
    targets = RNG.dirichlet(np.ones(10), size=6).astype(np.float32)
    found = losses.cross_entropy(tf.constant(LOGITS), tf.constant(targets))
    np.testing.assert_allclose(found, reference(targets), rtol=1e-5)


def binary(targets: np.ndarray) -> np.ndarray:
    chances = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    return -(targets * np.log(chances) + (1 - targets) * np.log(1 - chances)).mean(1)


def test_softmax_is_cross_entropy():
    assert losses.LOSSES.make("softmax()") is losses.cross_entropy


def test_sigmoid_asks_for_each_class_by_itself():
    loss = losses.LOSSES.make("sigmoid()")
    found = loss(tf.constant(LOGITS), tf.constant(LABELS))
    np.testing.assert_allclose(found, binary(np.eye(10)[LABELS]), rtol=1e-5)


@pytest.mark.parametrize(
    ("threshold", "row"), [(0.0, [1, 1, 0, 1]), (0.2, [1, 0, 0, 1]), (0.5, [1, 0, 0, 0])]
)
def test_sigmoid_takes_a_mixed_class_above_the_threshold_as_there(threshold, row):
    shares = np.zeros([6, 10], np.float32)
    shares[:, :4] = [0.6, 0.1, 0.0, 0.3]
    targets = np.zeros([6, 10])
    targets[:, :4] = row
    loss = losses.LOSSES.make(f"sigmoid({threshold})")
    found = loss(tf.constant(LOGITS), tf.constant(shares))
    np.testing.assert_allclose(found, binary(targets), rtol=1e-5)
    smoothed = loss(tf.constant(LOGITS), tf.constant(shares), label_smoothing=0.1)
    np.testing.assert_allclose(smoothed, binary(0.9 * targets + 0.01), rtol=1e-5)


@pytest.mark.parametrize("spec", ["sigmoid(1.0)", "sigmoid(-0.1)", "hinge()"])
def test_a_loss_that_there_is_not_is_refused(spec):
    with pytest.raises(UserError):
        losses.LOSSES.make(spec)


def test_auxiliary_heads_have_the_same_loss():
    outputs = {"logits": tf.constant(LOGITS), "aux1": tf.constant(LOGITS)}
    objective = losses.Objective(losses.sigmoid(), 0.1, {"aux1": 0.3})
    wanted = 1.3 * binary(0.9 * np.eye(10)[LABELS] + 0.01)
    np.testing.assert_allclose(objective(outputs, tf.constant(LABELS)), wanted, rtol=1e-5)


def test_auxiliary_heads_add_their_weighted_losses_and_do_not_score():
    outputs = {"logits": tf.constant(LOGITS), "aux1": tf.constant(-LOGITS)}
    objective = losses.Objective(heads={"aux1": 0.3})
    main = losses.cross_entropy(tf.constant(LOGITS), tf.constant(LABELS))
    head = losses.cross_entropy(tf.constant(-LOGITS), tf.constant(LABELS))
    found = objective(outputs, tf.constant(LABELS))
    np.testing.assert_allclose(found, main + 0.3 * head, rtol=1e-6)
    assert losses.scored(outputs) is outputs["logits"]


TAUGHT = 3 * RNG.normal(size=(6, 10)).astype(np.float32)


def test_a_hard_teacher_s_likeliest_class_is_a_label_with_half_the_weight():
    objective = losses.Objective(label_smoothing=0.1, distillation=losses.hard())
    found = objective(tf.constant(LOGITS), tf.constant(LABELS), tf.constant(TAUGHT))
    labels = reference(0.9 * np.eye(10)[LABELS] + 0.01)
    wanted = (labels + reference(np.eye(10)[TAUGHT.argmax(1)])) / 2
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_soft_teacher_s_divergence_is_at_a_temperature():
    objective = losses.Objective(distillation=losses.DISTILLATIONS.make("soft(temperature=2.0)"))
    found = objective(tf.constant(LOGITS), tf.constant(LABELS), tf.constant(TAUGHT))
    ours, theirs = (np.exp(each.astype(np.float64) / 2) for each in (LOGITS, TAUGHT))
    ours, theirs = (each / each.sum(1, keepdims=True) for each in (ours, theirs))
    divergence = (theirs * np.log(theirs / ours)).sum(1)
    wanted = 0.9 * reference(np.eye(10)[LABELS]) + 0.1 * 4 * divergence
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_head_of_its_own_learns_from_the_teacher():
    outputs = {"logits": tf.constant(LOGITS), "distillation": tf.constant(-LOGITS)}
    objective = losses.Objective(distillation=losses.hard(alpha=1.0))
    found = objective(outputs, tf.constant(LABELS), tf.constant(-LOGITS))
    assert (found < objective(LOGITS, tf.constant(LABELS), tf.constant(-LOGITS))).numpy().all()


@pytest.mark.parametrize("spec", ["hard(2.0)", "soft(temperature=0.0)", "softer()"])
def test_a_distillation_that_there_is_not_is_refused(spec):
    with pytest.raises(UserError):
        losses.DISTILLATIONS.make(spec)


def test_l2_penalty_has_the_papers_gradient():
    variable = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        penalty = losses.l2_penalty([variable], 5e-4)
    np.testing.assert_allclose(penalty, 5e-4 / 2 * (LOGITS.astype(np.float64) ** 2).sum(), 1e-5)
    np.testing.assert_allclose(tape.gradient(penalty, variable), 5e-4 * LOGITS, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_correct_agrees_with_sorting(k):
    largest = np.argsort(-LOGITS, axis=1)[:, :k]
    wanted = [float(label in row) for label, row in zip(LABELS, largest, strict=True)]
    found = losses.correct(tf.constant(LOGITS), tf.constant(LABELS), k)
    assert found.numpy().tolist() == wanted


def test_nan_logits_are_never_correct():
    found = losses.correct(tf.fill([2, 10], np.nan), tf.constant([0, 1]), 5)
    assert found.numpy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("row", "label", "first", "fifth"),
    [
        ([0.0] * 10, 0, 0, 0),  # a net whose last units are dead
        ([2, 2, 1, 0, 0, 0, 0, 0, 0, 0], 0, 0, 1),
        ([2, 2, 1, 0, 0, 0, 0, 0, 0, 0], 3, 0, 0),
        ([3, 2, 2, 2, 2, 2, 0, 0, 0, 0], 1, 0, 0),
        ([3, 2, 2, 2, 2, 0, 0, 0, 0, 0], 4, 0, 1),
        ([np.inf, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, 0, 0),
        ([1, -np.inf, 0, 0, 0, 0, 0, 0, 0, 0], 0, 0, 0),
        ([1, np.nan, 0, 0, 0, 0, 0, 0, 0, 0], 0, 0, 0),
    ],
)
def test_of_classes_that_are_equal_the_label_comes_last(row, label, first, fifth):
    logits = np.array([row], np.float32)
    found = [losses.correct(logits, np.array([label]), k).numpy().item() for k in (1, 5)]
    assert found == [first, fifth]


def test_all_classes_hold_the_label_unless_a_logit_is_not_finite():
    logits = np.array([[1, 1, 1], [1, np.nan, 1]], np.float32)
    assert losses.correct(logits, np.array([2, 2]), 5).numpy().tolist() == [1.0, 0.0]


def test_the_rule_needs_no_operation_that_xla_and_gpus_lack():
    def counted(logits, labels):
        return losses.correct(logits, labels, 5)

    spec = (tf.TensorSpec([None, 10]), tf.TensorSpec([None], tf.int32))
    graph = tf.function(counted, autograph=False).get_concrete_function(*spec).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not kinds & {"InTopKV2", "TopKV2", "If", "StatelessIf", "While", "PyFunc", "Where"}
    integers = [
        operation
        for operation in graph.get_operations()
        if operation.type in ("Sum", "ExpandDims", "Reshape", "StridedSlice")
        and operation.inputs[0].dtype == tf.int32
    ]
    assert not integers, "on a GPU these wait for the host"
