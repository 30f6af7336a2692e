"""One system's training step in a process of its own, for `compare.py`.

    python -m benchmarks.training_step_peers SYSTEM NET BATCH_SIZE IMAGE_SIZE THREADS

Prints `ready` after the first steps; then answers `parameters` by how many numbers are trained, and
a number of seconds by the images per second over that time.

Every system takes the same step, in float32 on the CPU, or in bfloat16 on one GPU (`on the GPU` in
its name): forward, backward, SGD with momentum, L2 on the kernels; on one batch that is in memory
already. Ours is the whole step as the trainer takes it,
which also subtracts the mean from uint8 images, counts top-1 and top-5, and looks for gradients
that are not finite. The peers' nets are ours, layer by layer.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from base.comparison import OURS
from base.spec import Call, parse_call

CONTIGUOUS = "pytorch, contiguous"
CHANNELS_LAST = "pytorch, channels last"
SYSTEMS = (OURS, CONTIGUOUS, CHANNELS_LAST)
OURS_ON_GPU = "ours, on the GPU"
COMPILED = "pytorch, compiled, channels last, on the GPU"
GPU_SYSTEMS = (OURS_ON_GPU, COMPILED)

# Taken at once, as a training loop does: waiting for each would leave a GPU idle in between.
STEPS_ON_GPU = 20

CLASSES = 1000
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


@dataclasses.dataclass(frozen=True)
class Step:
    """A system's training step.

    Attributes:
        parameters: how many numbers are trained.
        take: takes steps, and returns when they are done.
        steps: how many.
    """

    parameters: int
    take: Callable[[], object]
    steps: int = 1


def ours(call: Call, batch_size: int, image_size: int, threads: int, *, gpu: bool = False) -> Step:
    """The workspace's step, as the trainer takes it."""
    from base.tensorflow_start import start_tensorflow

    start_tensorflow()
    from pipelines.config import SYNTHETIC, PipelineConfig
    from trainers.config import TrainConfig
    from trainers.training.measuring.measurement import bare_steps, trainer_to_measure

    pipeline = PipelineConfig(
        data=SYNTHETIC,
        synthetic_classes=CLASSES,
        train_batch_size=batch_size,
        train_map=f"decode_random_crop({image_size})",
        train_device_map="subtract_mean((124.0, 117.0, 104.0))",
        eval_map=f"decode_center_crop({image_size})",
        eval_device_map="subtract_mean('none')",
        map_threads=threads,
    )
    config = TrainConfig(
        pipeline=pipeline,
        net=str(call),
        optimizer=f"sgd({MOMENTUM})",
        weight_decay=WEIGHT_DECAY,
        replicas="1" if gpu else "cpu",
        precision="mixed_bfloat16" if gpu else "float32",
    )
    trainer = trainer_to_measure(config)
    batches = trainer.batches(repeat_first=True)
    steps = STEPS_ON_GPU if gpu else 1
    return Step(trainer.net.parameters, lambda: bare_steps(trainer, batches, steps), steps)


def pytorch(
    call: Call, batch_size: int, image_size: int, threads: int, *, channels_last: bool
) -> Step:
    """PyTorch, eager, with its fused optimizer."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    image_shape = (batch_size, 3, image_size, image_size)
    images = (torch.rand(image_shape) * 255 - 128).to(memory_format=layout)
    labels = torch.randint(CLASSES, (batch_size,))
    net = PYTORCH_NETS[call.name](image_size, **call.keywords).to(memory_format=layout).train()
    groups = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM, fused=True)
    loss = nn.CrossEntropyLoss()

    def take() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(net(images), labels).backward()
        optimizer.step()

    return Step(sum(p.numel() for p in net.parameters()), take)


def pytorch_on_gpu(call: Call, batch_size: int, image_size: int) -> Step:
    """PyTorch as it is quickest on a GPU: compiled, channels last, bfloat16, fused optimizer."""
    import torch
    from torch import nn

    torch.backends.cudnn.benchmark = True
    device, layout = "cuda", torch.channels_last
    images = torch.randn(batch_size, 3, image_size, image_size, device=device)
    images = images.to(memory_format=layout)
    labels = torch.randint(CLASSES, (batch_size,), device=device)
    net = PYTORCH_NETS[call.name](image_size, **call.keywords).to(device, memory_format=layout)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.0, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True
    )
    loss, compiled = nn.CrossEntropyLoss(), torch.compile(net.train())

    def take() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            value = loss(compiled(images), labels)
        value.backward()
        optimizer.step()

    def take_several() -> None:  # the host may run ahead, as ours does
        for _ in range(STEPS_ON_GPU):
            take()
        torch.cuda.synchronize()

    return Step(sum(p.numel() for p in net.parameters()), take_several, STEPS_ON_GPU)


def pytorch_alexnet(image_size: int) -> Any:
    """`alexnet` of nets/alexnet.py: two groups, response normalisation."""
    import torch
    from torch import nn

    def conv(inputs: int, outputs: int, size: int, **options: Any) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, size, **options), nn.ReLU(inplace=True)]

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(
            5, alpha=5 * 1e-4, beta=0.75, k=2.0
        )  # divides alpha by the size

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2)

    missing = (11 - image_size) % 4  # conv1 keeps its last, partial window
    features = nn.Sequential(
        *[nn.ZeroPad2d((0, missing, 0, missing)), *conv(3, 96, 11, stride=4), norm(), pool()],
        *[*conv(96, 256, 5, padding=2, groups=2), norm(), pool()],
        *conv(256, 384, 3, padding=1),
        *conv(384, 384, 3, padding=1, groups=2),
        *[*conv(384, 256, 3, padding=1, groups=2), pool(), nn.Flatten()],
    )
    with torch.no_grad():
        flat = features(torch.zeros(1, 3, image_size, image_size)).shape[1]
    hidden = [nn.Linear(flat, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    hidden += [nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(features, *hidden, nn.Linear(4096, CLASSES))


def pytorch_resnet(
    image_size: int, *, units: tuple[int, ...], bottleneck: bool, width: int = 64
) -> Any:
    """The nets of nets/resnet.py: shortcuts of kind B, a bottleneck's stride in its first 1x1."""
    import torch
    from torch import nn

    def conv_bn(inputs: int, outputs: int, size: int, stride: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        return [conv, nn.BatchNorm2d(outputs)]

    class Unit(nn.Module):
        """A residual unit."""

        def __init__(self, inputs: int, inner: int, outputs: int, stride: int):
            super().__init__()
            relu = nn.ReLU(inplace=True)
            if bottleneck:
                layers = [*conv_bn(inputs, inner, 1, stride), relu, *conv_bn(inner, inner, 3), relu]
                layers += conv_bn(inner, outputs, 1)
            else:
                layers = [*conv_bn(inputs, inner, 3, stride), relu, *conv_bn(inner, outputs, 3)]
            self.branch, self.relu = nn.Sequential(*layers), relu
            same = stride == 1 and inputs == outputs
            projection = [] if same else conv_bn(inputs, outputs, 1, stride)
            self.shortcut = nn.Sequential(*projection)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.branch(x) + self.shortcut(x))

    channels = width
    layers = [*conv_bn(3, width, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    for stage, count in enumerate(units):
        inner = width * 2**stage
        outputs = 4 * inner if bottleneck else inner
        for unit in range(count):
            layers.append(Unit(channels, inner, outputs, 2 if stage and not unit else 1))
            channels = outputs
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


def _resnet(units: tuple[int, ...], bottleneck: bool) -> Callable[..., Any]:
    return lambda size, **options: pytorch_resnet(
        size, units=units, bottleneck=bottleneck, **options
    )


PYTORCH_NETS: dict[str, Callable[..., Any]] = {
    "alexnet": pytorch_alexnet,
    "resnet10": _resnet((1, 1, 1, 1), False),
    "resnet18": _resnet((2, 2, 2, 2), False),
    "resnet50": _resnet((3, 4, 6, 3), True),
}


def make_step(system: str, net: str, batch_size: int, image_size: int, threads: int) -> Step:
    """The step of one of SYSTEMS."""
    sizes = (parse_call(net), batch_size, image_size, threads)
    if system in (OURS, OURS_ON_GPU):
        return ours(*sizes, gpu=system == OURS_ON_GPU)
    if system == COMPILED:
        return pytorch_on_gpu(*sizes[:3])
    return pytorch(*sizes, channels_last=system == CHANNELS_LAST)


def main() -> None:
    """Runs one system and answers the lines of the standard input."""
    system, net, *numbers = sys.argv[1:]
    batch_size, image_size, threads = map(int, numbers)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    step = make_step(system, net, batch_size, image_size, threads)
    for _ in range(2):  # the first makes what the next ones reuse
        step.take()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "parameters":
            print(step.parameters, flush=True)
            continue
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < float(line):
            step.take()
            count += step.steps
        print(count * batch_size / elapsed, flush=True)


if __name__ == "__main__":
    main()
