"""What `make doctor` says of a machine, and the remedies that it names."""

import pytest
import tensorflow as tf

from benchmarks import doctor
from tests.conftest import run_command
from trainers.training.devices import gpus


@pytest.mark.end_to_end
def test_every_part_of_the_machine_has_a_line(tmp_path):
    run = run_command("benchmarks/doctor.py", f"--data_dir={tmp_path / 'none'}", "--seconds=0.1")
    for start in ("TensorFlow ", "host: ", f"disk of {tmp_path}: ", "decoding: "):
        assert any(line.startswith(start) for line in run.stdout.splitlines()), start
    assert list(tmp_path.iterdir()) == []


def test_libraries_that_are_not_found_are_named_with_what_brings_them(monkeypatch, tmp_path):
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(gpus, "NVIDIA_DEVICES", str(tmp_path / "nvidia[0-9]*"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    found = {"libcuda.so.1", "libcudart.so.12"}
    monkeypatch.setattr(doctor, "_opens", lambda name: name in found)
    monkeypatch.setattr(doctor.site, "getsitepackages", lambda: [str(tmp_path)])
    lines = list(doctor.devices())
    assert any("1 NVIDIA GPU(s), but TensorFlow sees none" in line for line in lines)
    assert "  libnvidia-ml.so.1 is not found: it comes with NVIDIA's driver" in lines
    assert "  libcudnn.so.9 is not found: pip install -e '.[gpu]'" in lines
    assert not any("libcudart" in line for line in lines)


def test_what_pip_has_brought_is_found(monkeypatch, tmp_path):
    library = tmp_path / "nvidia" / "cudnn" / "lib" / "libcudnn.so.9"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setattr(doctor.site, "getsitepackages", lambda: [str(tmp_path)])
    assert doctor.missing(("libcudnn.so.9", "libnothing.so.1")) == ["libnothing.so.1"]


def test_a_disk_that_cannot_be_written_to_is_said(monkeypatch, tmp_path):
    def fail(folder):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor, "read_rate", fail)
    assert "not measured: Read-only file system: choose" in list(doctor.disk(str(tmp_path)))[-1]


@pytest.mark.parametrize(("rate", "says"), [(1000.0, "will bind"), (9000.0, "enough for resnet50")])
def test_what_the_cores_are_enough_for_is_said(monkeypatch, rate, says):
    monkeypatch.setattr(doctor, "decoding_rate", lambda seconds: rate)
    assert says in list(doctor.binding(doctor.DoctorConfig()))[-1]
