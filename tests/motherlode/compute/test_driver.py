"""What the CUDA driver says, and what is made of it. Only the driver itself is played here."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from motherlode.compute.driver import Gpu, first_gpu
from motherlode.errors import DeviceError


class Driver:
    """`libcuda`, as far as it is asked."""

    def __init__(
        self, *, init: int = 0, gpus: int = 1, cuda: int = 13010, capability: tuple[int, int] = (9, 0)
    ) -> None:
        self.init, self.gpus, self.cuda, self.capability = init, gpus, cuda, capability

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.gpus
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.cuda
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = b"NVIDIA Test"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:  # noqa: N802
        memory._obj.value = 2**36
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = self.capability[{75: 0, 76: 1}[which]]
        return 0

    def cuGetErrorString(self, code: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"no CUDA-capable device is detected"
        return 0


def loading(driver: Driver) -> Callable[[str], Driver]:
    return lambda name: driver


def test_a_gpu_is_described() -> None:
    gpu = first_gpu(loading(Driver()))
    assert gpu == Gpu("NVIDIA Test", 2**36, (9, 0), (13, 1))
    assert str(gpu) == "NVIDIA Test, 64 GiB, driver for CUDA 13.1"


def test_a_library_that_is_not_there_is_no_driver() -> None:
    with pytest.raises(DeviceError, match=r"No NVIDIA driver is installed: libcuda\.so\.1 cannot be loaded"):
        first_gpu(lambda name: ctypes.CDLL(f"not there/{name}"))


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (Driver(init=100), "cuInit says 100, no CUDA-capable device is detected"),
        (Driver(gpus=0), "shows no GPU"),
        (Driver(cuda=12080), "supports CUDA 12.8, 13.0 is needed"),
        (Driver(capability=(7, 0)), "NVIDIA Test has compute capability 7.0, 7.5 is needed"),
    ],
)
def test_a_gpu_that_cannot_be_used_says_why(driver: Driver, problem: str) -> None:
    with pytest.raises(DeviceError, match=problem) as error:
        first_gpu(loading(driver))
    assert "--device cpu" in error.value.remedy
