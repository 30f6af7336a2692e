"""How tf.data runs the graphs of this room."""

import tensorflow as tf


def unattended() -> tf.data.Options:
    """Options of a dataset whose order and parallelism are all given.

    Without the autotuner, which has nothing to choose. Its thread sleeps for up to a minute, and
    the end of an iterator waits for it in some runs: after an evaluation, or where a process ends.
    Without sharding by the strategy: the order decides who reads what.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
