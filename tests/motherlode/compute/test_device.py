"""The choice of device, its reason, and what the door must not bring in."""

import logging
import subprocess
import sys
from importlib.util import find_spec

import pytest

from motherlode.compute import Compute, choose, device, driver, libraries, room
from motherlode.errors import DeviceError

GPU = driver.Gpu("NVIDIA Test", 80 * 2**30, (9, 0), (13, 0))
HEAVY = (
    "sklearn",
    "torch",
    "polars",
    "pandas",
    "xgboost",
    "onnxruntime",
    "feast",
    "ray",
    "cudf",
    "cudf_polars",
    "cuml",
    "cupy",
)


def _no_gpu() -> driver.Gpu:
    raise DeviceError("No NVIDIA driver is installed.", driver.REMEDY)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    device._say_once.cache_clear()
    monkeypatch.setattr(driver, "first_gpu", _no_gpu)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    device._say_once.cache_clear()
    monkeypatch.setattr(driver, "first_gpu", lambda: GPU)


def test_the_cpu_is_taken_at_its_word(gpu: None) -> None:
    assert choose("cpu") == Compute("cpu", "The CPU was asked for.")


def test_auto_falls_back_and_says_why_once(no_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second = choose("auto"), choose("auto")
    assert first == second == Compute("cpu", "No GPU for training: No NVIDIA driver is installed.")
    assert caplog.messages == ["Computing on the CPU. No GPU for training: No NVIDIA driver is installed."]
    assert caplog.records[0].levelno == logging.WARNING


def test_gpu_where_there_is_none_fails_naming_what_is_missing_and_the_remedy(no_gpu: None) -> None:
    with pytest.raises(DeviceError) as error:
        choose("gpu")
    assert error.value.problem == "No NVIDIA driver is installed."
    for remedy in ("motherlode[gpu]", "nvidia-smi", "--device cpu"):
        assert remedy in error.value.remedy


def test_a_gpu_is_taken_and_named(gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(device, "_LACKING", {"training": lambda: None})
    caplog.set_level(logging.INFO)
    assert choose("auto") == choose("gpu") == Compute("gpu", "NVIDIA Test, 80 GiB, driver for CUDA 13.0.")
    assert [record.levelno for record in caplog.records] == [logging.INFO]


@pytest.mark.skipif(find_spec("cuml") is not None, reason="RAPIDS is installed here")
def test_a_gpu_without_rapids_is_no_gpu_for_training(gpu: None) -> None:
    assert choose("auto").reason.startswith("No GPU for training: NVIDIA Test is there, but RAPIDS is not installed")
    with pytest.raises(DeviceError, match="cudf_polars and cuml cannot be found"):
        choose("gpu")


@pytest.mark.skipif(libraries.installed("onnxruntime-gpu") is not None, reason="onnxruntime-gpu is installed here")
def test_serving_asks_for_onnx_runtime_alone(gpu: None) -> None:
    with pytest.raises(DeviceError, match=r"NVIDIA Test is there, but onnxruntime .* knows no GPU"):
        choose("gpu", "serving")


def test_an_unknown_device_is_refused_naming_those_there_are(no_gpu: None) -> None:
    with pytest.raises(DeviceError, match=r"Device 'tpu' is unknown. Use one of auto, cpu, gpu."):
        choose("tpu")


def test_what_the_libraries_call_the_device() -> None:
    cpu, gpu = Compute("cpu", ""), Compute("gpu", "")
    assert (cpu.torch_device, gpu.torch_device) == ("cpu", "cuda")
    assert cpu.onnx_providers == ["CPUExecutionProvider"]
    assert gpu.onnx_providers == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]


def test_a_room_is_the_module_of_its_device() -> None:
    opened: object = room(Compute("cpu", "a test"))
    assert opened is sys.modules["motherlode.compute.cpu"]


@pytest.mark.skipif(find_spec("cuml") is not None, reason="RAPIDS is installed here")
def test_a_room_that_lacks_a_library_names_it_and_the_extra() -> None:
    with pytest.raises(DeviceError, match=r"No module named 'cuml'.*motherlode\[train,gpu\]"):
        room(Compute("gpu", "a test"))


@pytest.mark.parametrize(
    "statement", ["import motherlode.compute", "from motherlode.compute import choose; choose('auto')"]
)
def test_the_door_imports_nothing_that_serving_does_not_have(statement: str) -> None:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "motherlode" in loaded
    assert loaded.isdisjoint(HEAVY)
