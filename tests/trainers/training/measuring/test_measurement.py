"""What the benchmark commands of the trainers' room print, and that the peers' nets are ours."""

import re
import time

import numpy as np
import pytest

import nets
from base.comparison import OURS, load
from base.errors import UserError
from benchmarks.training_step_peers import CHANNELS_LAST, CLASSES, CONTIGUOUS, PYTORCH_NETS, SYSTEMS
from benchmarks.training_steps import StepPeersConfig, targets
from pipelines.config import PipelineConfig
from tests.conftest import assert_one_line_error, run_command
from tests.making.datasets import write_dataset
from tests.making.tiny_net import SYNTHETIC_TRAINING
from trainers.benchmark import BARE, BARE_FORWARD, LoopBenchmarkConfig, compared, utilization
from trainers.config import TrainConfig
from trainers.training.devices import gpus
from trainers.training.devices.peaks import peak_flops
from trainers.training.measuring import measurement
from trainers.training.measuring.measurement import Round, Way, trainer_to_measure

SMALL = (*SYNTHETIC_TRAINING, "--rounds=2", "--seconds=0.2")


def line_of(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.strip().startswith(start)]
    return found


def test_the_loop_is_compared_round_by_round():
    # The second round came while the machine was half as fast: the loop stays 2 % slower.
    rounds = [Round(10, 1.02, 1.0), Round(10, 2.04, 2.0), Round(5, 0.51, 0.5)]
    comparison = compared("resnet10", rounds, batch_size=8)
    assert comparison.rates[BARE] == [80.0, 40.0, 80.0]
    assert comparison.ratio(BARE) == pytest.approx(1 / 1.02)
    assert "reached" in comparison.lines()[-1]


def test_an_overhead_above_the_target_is_called_missed():
    assert "MISSED" in compared("resnet10", [Round(10, 1.04, 1.0)], 8).lines()[-1]


def test_the_target_counts_against_the_better_layout():
    rates = {OURS: [30.0] * 3, CONTIGUOUS: [15.0, 7.5, 15.0], CHANNELS_LAST: [20.0] * 3}
    assert targets("alexnet", rates) == {CHANNELS_LAST: 1.5}
    assert targets("alexnet", rates | {CONTIGUOUS: [21.0] * 3}) == {CONTIGUOUS: 1.5}
    assert targets("alexnet", {OURS: [30.0]}) == {}
    assert targets("resnet18", rates) == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"nets": ("vgg16",)}, "vgg16 is none of alexnet"),
        ({"rounds": 0}, "--rounds=0 must be at least 1"),
        ({"image_size": -1}, "--image_size=-1"),
        ({"seconds": 0.0}, "--seconds=0.0 must be above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        StepPeersConfig(**wrong)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(UserError, match="no net is named"):
        LoopBenchmarkConfig()
    with pytest.raises(UserError, match="--rounds=0 must be at least 1"):
        LoopBenchmarkConfig(TrainConfig(net="alexnet"), rounds=0)
    with pytest.raises(UserError, match="not those of --data=synthetic"):
        synthetic = PipelineConfig(data="synthetic")
        LoopBenchmarkConfig(TrainConfig(net="alexnet", pipeline=synthetic), evaluation=True)
    with pytest.raises(UserError, match="one machine is measured"):
        trainer_to_measure(TrainConfig(net="alexnet", distribution="multi_worker"))


@pytest.mark.parametrize(("name", "size"), [("alexnet", 64), ("resnet10", 32), ("resnet50", 32)])
def test_pytorch_nets_compute_what_ours_compute(name, size):
    torch = pytest.importorskip("torch", reason="PyTorch comes with the bench extra")
    ours = nets.build(name, CLASSES, image_size=size)
    theirs = PYTORCH_NETS[name](size).eval()
    copy_weights(ours, theirs, torch)
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        logits = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    wanted = ours(images, training=False).numpy()
    assert wanted.std() > 0
    np.testing.assert_allclose(logits, wanted, atol=1e-4 * np.abs(wanted).max())


def copy_weights(ours, theirs, torch) -> None:
    """Gives a PyTorch net our trainable weights; fully connected ones follow 1x1 feature maps."""

    def in_order(layer):  # PyTorch's: a unit's branch, its shortcut; the classifier at the end
        return layer.name.replace("branch1", "branch3").replace("fc", "then_fc")

    generator = np.random.default_rng(1)
    weighted = [layer for layer in ours.layers if layer.weights]
    values = []
    for layer in sorted(weighted, key=in_order):
        for variable in layer.trainable_variables:
            if variable.name != "kernel":  # they start at constants, which would hide a mistake
                variable.assign(generator.uniform(0.5, 1.5, variable.shape))
            value = variable.numpy()
            values.append(np.transpose(value, (3, 2, 0, 1) if value.ndim == 4 else None))
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), values, strict=True):
            assert parameter.shape == value.shape
            parameter.copy_(torch.from_numpy(value.copy()))


@pytest.mark.end_to_end
@pytest.mark.parametrize("script", ["trainers/benchmark.py", "benchmarks/training_steps.py"])
def test_help_answers_at_once(script):
    fastest = float("inf")
    for _ in range(3):  # another process may take the processor meanwhile
        start = time.perf_counter()
        assert "--rounds" in run_command(script, "--help").stdout
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 2


@pytest.mark.end_to_end
def test_benchmark_prints_the_loop_beside_the_step_and_leaves_nothing(tmp_path):
    run = run_command("trainers/benchmark.py", *SMALL, f"--runs_dir={tmp_path / 'runs'}")
    lines = run.stdout.splitlines()
    assert "synthetic data" in lines[0]
    for name in (OURS, BARE):
        assert float(line_of(lines, name).removeprefix(f"  {name}").split()[0].replace(",", "")) > 0
    assert "times (target 0.97: " in line_of(lines, BARE)
    assert 0 <= float(line_of(lines, "waiting").split()[1].rstrip("%")) <= 100
    assert lines[-1].startswith("verdict: compute binds. Try: a GPU, or more cores")
    assert float(line_of(lines, "peak memory").split()[2]) > 0.1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.end_to_end
def test_an_evaluation_is_measured_beside_its_forward_pass(tmp_path):
    write_dataset(tmp_path / "data")
    figures = tmp_path / "speed.jsonl"
    done = run_command(
        "trainers/benchmark.py",
        "--evaluation",
        *(f"--data_dir={tmp_path}/data", "--net=resnet10(width=8)", "--eval_batch_size=20"),
        "--train_batch_size=20",
        *("--train_map=decode_random_crop(32)", "--eval_map=decode_center_crop(32)"),
        *("--rounds=2", f"--figures={figures}"),
    )
    (comparison,) = load(str(figures))
    assert comparison.title == "scoring resnet10(width=8)"
    assert [len(rates) for rates in comparison.rates.values()] == [2, 2]
    assert comparison.ratio(BARE_FORWARD) > 0
    assert done.stdout.splitlines()[1:] == comparison.lines()


@pytest.mark.end_to_end
def test_benchmark_measures_the_exchange_between_replicas():
    lines = run_command("trainers/benchmark.py", *SMALL, "--replicas=cpu:2").stdout.splitlines()
    for part in ("compute alone", "exchange alone"):
        assert float(line_of(lines, part).split()[2].replace(",", "")) > 0
    assert lines[-1].startswith("verdict: ")


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (
            Way(900.0, 5000.0, 1000.0, None),
            "input binds; the rest would take 1,000. .*pipelines",
        ),
        (Way(900.0, 100.0, 1000.0, None), "copy binds; the rest would take 900. "),
        (Way(900.0, None, 800.0, None), "compute binds; the rest would take 900. .*a GPU"),
        (Way(None, None, 800.0, None), "compute binds. Try"),
        # Either by itself is quicker than the input; one after the other they are not.
        (Way(500.0, None, 800.0, 900.0), "compute binds; the rest would take 500. "),
        (Way(500.0, None, 900.0, 800.0), "exchange binds; .*--gradient_exchange=bfloat16"),
        (Way(300.0, None, 900.0, 800.0), "input binds; the rest would take 424. "),
    ],
)
def test_the_verdict_names_what_binds_and_a_remedy(way, says):
    remedies = measurement.remedies(TrainConfig(net="alexnet"), on_gpu=False, compiled=False)
    assert re.match(f"verdict: {says}", way.verdict(remedies))


def test_what_the_flags_have_already_is_no_remedy():
    """On the CPU bfloat16 and XLA take longer, and are none either."""
    plain = TrainConfig(net="alexnet")
    full = TrainConfig(
        net="alexnet", precision="mixed_bfloat16", gradient_exchange="bfloat16", jit_compile="true"
    )
    on_cpu = measurement.remedies(plain, on_gpu=False, compiled=False)["compute"]
    assert "--" not in on_cpu
    wanted = measurement.remedies(plain, on_gpu=True, compiled=False)
    assert {"--precision=mixed_bfloat16", "--jit_compile=true"} < set(wanted["compute"].split("; "))
    assert "--gradient_exchange=bfloat16" in wanted["exchange"]
    done = measurement.remedies(full, on_gpu=True, compiled=True)
    assert not re.search("bfloat16|jit_compile", done["compute"] + done["exchange"])


def test_the_share_of_a_gpus_peak_is_said(monkeypatch):
    assert utilization(24.5e9, 6429, "mixed_bfloat16") == [], "the CPU has no data sheet here"
    monkeypatch.setattr(gpus, "device_names", lambda: ["NVIDIA H200"])
    (line,) = utilization(24.5e9, 6429, "mixed_bfloat16")
    assert "157.5  TFLOP/s a GPU (NVIDIA H200), 16% of its peak in mixed_bfloat16" in line
    monkeypatch.setattr(gpus, "device_names", lambda: ["Radeon"] * 2)
    (line,) = utilization(24.5e9, 6429, "float32")
    assert line.endswith("78.8  TFLOP/s a GPU (Radeon)")


@pytest.mark.parametrize(
    ("name", "half", "single"),
    [
        ("NVIDIA H100 PCIe", 756, 378),
        ("NVIDIA H100 80GB HBM3", 989.4, 494.7),
        ("NVIDIA L40S", 362.1, 183.2),
        ("NVIDIA L4", 121, 60),
        ("NVIDIA A100-SXM4-40GB", 312, 156),
        ("NVIDIA A10", 125, 62.5),
        ("Tesla T4", 65, 8.1),
    ],
)
def test_data_sheets_are_found_by_the_devices_name(name, half, single):
    assert peak_flops(name, "mixed_bfloat16") == pytest.approx(1e12 * half)
    assert peak_flops(name, "float32") == pytest.approx(1e12 * single)
    assert peak_flops("NVIDIA GeForce GT 710", "float32") is None


@pytest.mark.end_to_end
def test_compare_prints_every_contender(tmp_path):
    run = run_command(
        "benchmarks/training_steps.py",
        "--nets=resnet10(width=4)",
        "--image_size=32",
        "--batch_size=4",
        "--rounds=2",
        "--seconds=0.1",
    )
    lines = run.stdout.splitlines()
    assert line_of(lines, f"{OURS} ")
    for peer in SYSTEMS[1:]:
        left_out = f"  left out: {peer} (ModuleNotFoundError: No module named 'torch')"
        assert left_out in lines or "times" in line_of(lines, peer)
    parameters = nets.build("resnet10", CLASSES, image_size=32, width=4).count_params()
    assert 0 < int(line_of(lines, "training resnet10").split()[2].replace(",", "")) < parameters


@pytest.mark.end_to_end
def test_what_a_user_can_mend_is_one_line():
    wrong = run_command("benchmarks/training_steps.py", "--nets=alexnet", "--image_size=8", code=1)
    assert_one_line_error(wrong, "--net=alexnet: ", "the image is too small")
