"""How long steps wait for their data, known by when it was there: no clock in a step is needed."""

import numpy as np
import tensorflow as tf

# What each batch has beside its examples: when it was there, float64 [], seconds of the epoch.
READY = "ready"


def stamped(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The batches, each with the time at which it was there."""
    return batches.map(lambda batch: batch | {READY: tf.timestamp()})


def waited(ready: np.ndarray, began: float, ended: float) -> float:
    """The seconds that each of a call's steps has waited for its data, on average.

    All steps of a call are taken to be equally long, each to begin when the one before has ended
    and its data is there. How long they are at most follows from when the call has ended: from any
    step's data on, it and those after it have to fit in. The rest of the time was waiting.

    Args:
        ready: float64 [K], when each step's data was there, seconds; 0 for steps not taken.
        began: when the call began.
        ended: when it ended.
    """
    count = len(ready)
    step = np.min((ended - np.maximum(ready, began)) / np.arange(count, 0, -1))
    return max(0.0, (ended - began) / count - max(0.0, step))
