"""Measures the training step beside PyTorch's, side by side in one run, on the CPU or one GPU.

    python benchmarks/training_steps.py
    python benchmarks/training_steps.py --device=gpu --batch_size=256

Both take the same step of the same nets in float32, with the same number of threads: forward,
backward, SGD with momentum, L2. PyTorch runs in both of its memory layouts, and the better one
counts. Each runs in a process of its own, and they take turns, because a machine's speed drifts by
more than the systems differ. PyTorch comes with the `bench` extra; where it is missing it is left
out. On a GPU both compute in bfloat16, and PyTorch is compiled, with channels last.
"""

import contextlib
import dataclasses
import os
import statistics
from collections.abc import Sequence

import nets
from base.commandline import Settings, config_from_flags, flag, run
from base.comparison import OURS, Comparison
from base.errors import UserError
from base.spec import parse_call
from benchmarks.contender import Contender, measure_in_turns
from benchmarks.training_step_peers import GPU_SYSTEMS, OURS_ON_GPU, PYTORCH_NETS, SYSTEMS

# What ours should reach, as a multiple of PyTorch in its better layout.
TARGETS = {"alexnet": 1.5, "resnet50": 1.15}


@dataclasses.dataclass(frozen=True)
class StepPeersConfig(Settings):
    """What is compared, and for how long."""

    nets: tuple[str, ...] = flag(
        tuple(TARGETS), f"Which nets, with options, of: {', '.join(PYTORCH_NETS)}."
    )
    batch_size: int = flag(32, "Images of a step.", within="[1, 1e9]")
    image_size: int = flag(
        0, "Side of the images, in pixels; 0: the net's own.", within="[0, 65535]"
    )
    threads: int = flag(2, "Threads of each system.", within="[1, 4096]")
    device: str = flag("cpu", "What computes.", choices=("cpu", "gpu"))
    rounds: int = flag(
        5, "How often each system is measured; medians are printed.", within="[1, 1e9]"
    )
    seconds: float = flag(3.0, "How long each measurement lasts, at least.", within="(0, inf)")
    figures: str = flag("", "File to which the figures are added, for benchmarks/speed_table.py.")

    def __post_init__(self) -> None:
        """Refuses what cannot be compared."""
        super().__post_init__()
        for net in self.nets:
            if parse_call(net).name not in PYTORCH_NETS:
                raise UserError(f"--nets: {net} is none of {', '.join(PYTORCH_NETS)}")


def main() -> None:
    """Prints a comparison for each net."""
    config = config_from_flags(StepPeersConfig)
    print(
        f"training steps of {config.batch_size} images on the {config.device.upper()}, "
        f"{config.threads} threads, {config.rounds} rounds"
    )
    for net in config.nets:
        with contextlib.ExitStack() as stack:
            contenders, left_out = _contenders(stack, net, config)
            parameters = _same_parameters(net, contenders)
            rates = measure_in_turns(contenders, config.rounds, config.seconds)
        title = f"training {net}, {parameters:,} parameters"
        if OURS_ON_GPU in rates:
            rates = {OURS: rates.pop(OURS_ON_GPU), **rates}
        comparison = Comparison(title, rates, targets(net, rates), left_out)
        comparison.save(config.figures)
        print("\n".join(["", *comparison.lines()]), flush=True)


def _contenders(
    stack: contextlib.ExitStack, net: str, config: StepPeersConfig
) -> tuple[list[Contender], dict[str, str]]:
    """The systems that run here, and why the others do not."""
    contenders, left_out = [], {}
    size = config.image_size or nets.entry(parse_call(net).name).image_size
    numbers = [str(number) for number in (config.batch_size, size, config.threads)]
    on_gpu = config.device == "gpu"
    # A GPU, where there is one, would take ours away from the comparison on the CPU.
    environment = {**os.environ, **({} if on_gpu else {"CUDA_VISIBLE_DEVICES": "-1"})}
    for system in GPU_SYSTEMS if on_gpu else SYSTEMS:
        contender = Contender(
            system, "benchmarks.training_step_peers", [system, net, *numbers], environment
        )
        stack.callback(contender.close)
        problem = contender.ready()
        if not problem:
            contenders.append(contender)
        elif system in (OURS, OURS_ON_GPU):
            raise UserError(problem.removeprefix("base.UserError: "))
        else:
            left_out[system] = problem
    return contenders, left_out


def _same_parameters(net: str, contenders: Sequence[Contender]) -> int:
    """The number of trained numbers, which tells whether the systems train the same net."""
    counts = {contender.name: int(contender.ask("parameters")) for contender in contenders}
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"{net} is not the same net everywhere: {counts}")
    return next(iter(counts.values()))


def targets(net: str, rates: dict[str, list[float]]) -> dict[str, float]:
    """What ours should reach: a multiple of PyTorch's rate in its better layout for this net.

    Args:
        net: its name, perhaps with options.
        rates: images per second of each system, by its name, in each round.
    """
    peers = [system for system in rates if system != OURS]
    if net not in TARGETS or not peers:
        return {}
    return {max(peers, key=lambda system: statistics.median(rates[system])): TARGETS[net]}


if __name__ == "__main__":
    run(main, configs=[StepPeersConfig], tensorflow=False, gpus=True)
