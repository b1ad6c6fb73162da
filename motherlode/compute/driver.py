"""The CUDA driver, asked directly: is there a GPU, which one, and is the driver new enough?

Through `libcuda` itself, so that the answer needs no Python package, respects `CUDA_VISIBLE_DEVICES`, and
finds a driver that is installed but broken. `cuInit` creates no context: it takes no GPU memory.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from motherlode.errors import DeviceError

LIBRARY: Final = "libcuda.so.1"
OLDEST_DRIVER: Final = (13, 0)
"""CUDA version that a driver must support: what the locked RAPIDS and PyTorch wheels are built for; NVIDIA's 580."""
OLDEST_CAPABILITY: Final = (7, 5)
"""Compute capability that CUDA 13 still builds for: Turing and later."""
REMEDY: Final = "Install `motherlode[gpu]`, check what `nvidia-smi` says, or use `--device cpu`."

_CAPABILITY_MAJOR: Final = 75
_CAPABILITY_MINOR: Final = 76
_NAME_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first visible GPU.

    Attributes:
        name: the maker's: "NVIDIA H100 80GB HBM3".
        memory: bytes.
        capability: CUDA compute capability, (9, 0).
        driver: the newest CUDA version its driver supports, (13, 0).
    """

    name: str
    memory: int
    capability: tuple[int, int]
    driver: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name}, {self.memory / 2**30:.0f} GiB, driver for CUDA {_dotted(self.driver)}"


def first_gpu(load: Callable[[str], Any] = ctypes.CDLL) -> Gpu:
    """The first visible GPU, as the driver describes it.

    Args:
        load: opens the driver's library by name; raises OSError where there is none.

    Raises:
        DeviceError: there is no driver, no visible GPU, or one that RAPIDS cannot use; which of them it says.
    """
    try:
        cuda = load(LIBRARY)
    except OSError:
        raise DeviceError(f"No NVIDIA driver is installed: {LIBRARY} cannot be loaded.", REMEDY) from None
    _check(cuda, cuda.cuInit(0), "cuInit")
    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _check(cuda, cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value == 0:
        raise DeviceError("The NVIDIA driver shows no GPU.", REMEDY)
    _check(cuda, cuda.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    _check(cuda, cuda.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name, memory = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t()
    _check(cuda, cuda.cuDeviceGetName(name, _NAME_BYTES, device), "cuDeviceGetName")
    _check(cuda, cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")
    gpu = Gpu(
        name=name.value.decode(),
        memory=memory.value,
        capability=(_attribute(cuda, _CAPABILITY_MAJOR, device), _attribute(cuda, _CAPABILITY_MINOR, device)),
        driver=(version.value // 1000, version.value % 1000 // 10),
    )
    _check_age(gpu)
    return gpu


def _attribute(cuda: Any, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _check(cuda, cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device), "cuDeviceGetAttribute")
    return value.value


def _check(cuda: Any, code: int, call: str) -> None:
    if code == 0:
        return
    text = ctypes.c_char_p()
    known = cuda.cuGetErrorString(code, ctypes.byref(text)) == 0 and text.value
    reason = text.value.decode() if known and text.value else "unknown error"
    raise DeviceError(f"The NVIDIA driver cannot be used: {call} says {code}, {reason}.", REMEDY)


def _check_age(gpu: Gpu) -> None:
    if gpu.driver < OLDEST_DRIVER:
        raise DeviceError(
            f"The NVIDIA driver supports CUDA {_dotted(gpu.driver)}, {_dotted(OLDEST_DRIVER)} is needed.",
            "Update the NVIDIA driver, or use `--device cpu`.",
        )
    if gpu.capability < OLDEST_CAPABILITY:
        raise DeviceError(
            f"{gpu.name} has compute capability {_dotted(gpu.capability)}, {_dotted(OLDEST_CAPABILITY)} is needed.",
            "Use a Turing GPU or a later one, or `--device cpu`.",
        )


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
