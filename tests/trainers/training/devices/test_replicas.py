"""Which strategy the flag names, and the test of the links between replicas."""

import pytest
import tensorflow as tf

from base.errors import UserError
from trainers.training.devices.replicas import open_devices, refuse_broken_links


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_cpu_is_split(count):
    assert open_devices(f"cpu:{count}").replicas == count


def test_auto_is_one_replica_where_there_is_no_gpu():
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has GPUs")
    assert open_devices("auto").replicas == 1


@pytest.mark.parametrize("replicas", ["", "0", "cpu:0", "gpu:2", "-1", "2.5"])
def test_what_is_no_choice_of_replicas_is_refused(replicas):
    with pytest.raises(UserError):
        open_devices(replicas)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_sound_links_pass(count):
    refuse_broken_links(open_devices(f"cpu:{count}").strategy)


def test_a_wrong_sum_on_one_replica_is_named():
    strategy = open_devices("cpu:2").strategy

    class Broken:
        num_replicas_in_sync = 2

        def run(self, function):
            return strategy.run(function)

        def experimental_local_results(self, values):
            first, second = strategy.experimental_local_results(values)
            return first, tf.tensor_scatter_nd_add(second, [[1000]], [1.0])

    with pytest.raises(UserError, match="replica 1 of 2"):
        refuse_broken_links(Broken())
