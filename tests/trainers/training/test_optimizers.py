"""Every optimizer against a plain NumPy loop in float64, for fifty steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.training.optimizers import OPTIMIZERS, Optimizer

RNG = np.random.default_rng(1)
STEPS = 50
GRADIENTS = RNG.normal(size=(STEPS, 4, 3))
START = RNG.normal(size=(4, 3))
RATE, DECAY = 0.05, 0.1


def run(spec: str, decay: float = 0.0, **kwargs) -> np.ndarray:
    variable = keras.Variable(START, dtype="float32", name="kernel")
    optimizer = Optimizer(
        OPTIMIZERS.make(spec), [variable], decay=decay, decayed=[variable], **kwargs
    )
    step = tf.function(
        lambda gradient: optimizer.apply([gradient], tf.constant(RATE), tf.constant(True))
    )
    for gradient in GRADIENTS:
        step(tf.constant(gradient, tf.float32))
    return variable.numpy()


def sgd(nesterov: bool, decay: float) -> np.ndarray:
    w, v = START.copy(), np.zeros_like(START)
    for g in GRADIENTS:
        old = w.copy()
        v = 0.9 * v - RATE * g
        w = w + (0.9 * v - RATE * g if nesterov else v) - RATE * decay * old
    return w


def rmsprop(decay: float) -> np.ndarray:
    w, v, s = START.copy(), np.zeros_like(START), np.ones_like(START)
    for g in GRADIENTS:
        s = 0.9 * s + 0.1 * g**2
        v = 0.8 * v - RATE * g / np.sqrt(s + 1.0)
        w = w + v - RATE * decay * w
    return w


def adam_direction(state: dict, g: np.ndarray, t: int, epsilon: float) -> np.ndarray:
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g**2
    return state["m"] / (1 - 0.9**t) / (np.sqrt(state["s"] / (1 - 0.999**t)) + epsilon)


def adamw(decay: float) -> np.ndarray:
    w, state = START.copy(), {}
    for t, g in enumerate(GRADIENTS, 1):
        w = w - RATE * adam_direction(state, g, t, 1e-8) - RATE * decay * w
    return w


def lamb(decay: float) -> np.ndarray:
    w, state = START.copy(), {}
    for t, g in enumerate(GRADIENTS, 1):
        update = adam_direction(state, g, t, 1e-6) + decay * w
        w = w - RATE * np.linalg.norm(w) / np.linalg.norm(update) * update
    return w


def lars(decay: float) -> np.ndarray:
    w, v = START.copy(), np.zeros_like(START)
    for g in GRADIENTS:
        local = 1.0
        if decay:
            norm = np.linalg.norm(w)
            local = 0.02 * norm / (np.linalg.norm(g) + decay * norm)
        v = 0.9 * v - RATE * local * (g + decay * w)
        w = w + v
    return w


@pytest.mark.parametrize("decay", [0.0, DECAY])
@pytest.mark.parametrize(
    ("spec", "reference"),
    [
        ("sgd(momentum=0.9)", lambda decay: sgd(False, decay)),
        ("sgd(momentum=0.9, nesterov=True)", lambda decay: sgd(True, decay)),
        ("rmsprop(rho=0.9, epsilon=1.0, momentum=0.8)", rmsprop),
        ("adamw()", adamw),
        ("lamb()", lamb),
        ("lars(trust_coefficient=0.02)", lars),
    ],
)
def test_fifty_steps_agree_with_numpy(spec, reference, decay):
    np.testing.assert_allclose(run(spec, decay), reference(decay), rtol=2e-4, atol=2e-5)


def test_lamb_takes_adams_steps_where_nothing_decays():
    np.testing.assert_allclose(
        run("lamb(scale_all=False)"), run("adamw(epsilon=1e-6)"), rtol=2e-4, atol=2e-5
    )
    np.testing.assert_array_equal(run("lamb(scale_all=False)", DECAY), run("lamb()", DECAY))


def test_undecayed_variables_do_not_decay():
    variable = keras.Variable(START, dtype="float32", name="gamma")
    optimizer = Optimizer(OPTIMIZERS.make("sgd()"), [variable], decay=0.5, decayed=[])
    optimizer.apply([tf.zeros([4, 3])], tf.constant(1.0), tf.constant(True))
    np.testing.assert_array_equal(variable.numpy(), START.astype(np.float32))


def test_single_variables_have_rates_of_their_own_and_biases_theirs_beside():
    kernel = keras.Variable(START, dtype="float32", name="kernel")
    bias = keras.Variable(START, dtype="float32", name="bias")
    optimizer = Optimizer(
        OPTIMIZERS.make("sgd(0.0)"),
        [kernel, bias],
        bias_rate_factor=2.0,
        rate_factors={bias.path: 10.0},
    )
    optimizer.apply([tf.ones([4, 3])] * 2, tf.constant(0.5), tf.constant(True))
    np.testing.assert_allclose(kernel.numpy(), START - 0.5, rtol=1e-6)
    np.testing.assert_allclose(bias.numpy(), START - 10.0, rtol=1e-6)


def test_biases_have_their_own_rate():
    kernel = keras.Variable(START, dtype="float32", name="kernel")
    bias = keras.Variable(START, dtype="float32", name="bias")
    optimizer = Optimizer(OPTIMIZERS.make("sgd(0.0)"), [kernel, bias], bias_rate_factor=2.0)
    optimizer.apply([tf.ones([4, 3])] * 2, tf.constant(0.5), tf.constant(True))
    np.testing.assert_allclose(kernel.numpy(), START - 0.5, rtol=1e-6)
    np.testing.assert_allclose(bias.numpy(), START - 1.0, rtol=1e-6)
