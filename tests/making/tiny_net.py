"""A net that is traced in a moment, as a plugin, for tests that train in processes of their own."""

import pathlib

SOURCE = '''
"""One convolution, with what a checkpoint has to bring back: batch norm, and dropout's draws."""
import nets


def body(nn, x, num_classes):
    x = nn.conv_bn_relu(x, 4, 3, strides=4, name="conv1")
    x = nn.global_avg_pool(x, name="pool")
    return nn.fc(nn.dropout(x, 0.2, name="drop"), num_classes, name="fc2")


BATCH_NORM = nets.BatchNorm(momentum=0.9, epsilon=1e-5)
NETS = (nets.Net(name="tiny_net", body=body, batch_norm=BATCH_NORM),)
'''


def tiny_net(folder: pathlib.Path) -> list[str]:
    """Writes the plugin; returns the flags that name it and its net."""
    (folder / "tiny.py").write_text(SOURCE)
    return [f"--plugins={folder / 'tiny.py'}", "--net=tiny_net"]


# Flags of a training that needs no data set.
SYNTHETIC_TRAINING = (
    "--net=resnet10(width=4)",
    "--data=synthetic",
    "--train_map=decode_random_crop(32)",
    "--eval_map=decode_center_crop(32)",
    "--train_device_map=subtract_mean('none')",
    "--eval_device_map=subtract_mean('none')",
    "--train_batch_size=8",
)

# Flags of a training of two epochs of so many steps, on the 48 images of a small data set.
SHORT_STEPS = 3
SHORT_TRAINING = (
    "--train_map=decode_random_crop(24)|random_flip",
    "--eval_map=decode_center_crop(24)",
    "--train_batch_size=16",
    "--eval_batch_size=16",
    "--train_epochs=2",
    "--log_steps=1",
    "--replicas=cpu",
)
