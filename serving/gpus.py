"""How many replicas a cluster gets, and which of them have its GPUs. No Ray."""

from collections.abc import Mapping
from typing import Final

from motherlode.errors import DeviceError, SettingsError

_ARGUMENTS: Final = frozenset({"replicas", "device"})


def how_many(wanted: int, device: str, resources: Mapping[str, float]) -> int:
    """How many replicas a cluster gets: with GPUs, one each and at least one on the CPU beside them.

    Args:
        wanted: how many there are to be.
        device: as in `Settings`.
        resources: `ray.cluster_resources()`.

    Raises:
        DeviceError: the GPU was asked for by name, and the cluster has none.
    """
    gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
    if device == "gpu" and not gpus:
        raise DeviceError("Device 'gpu' was asked for, and Ray sees none.", "Use --device auto.")
    return max(wanted, gpus + 1) if gpus else wanted


def by_arguments(args: Mapping[str, str | int], resources: Mapping[str, float]) -> tuple[int, str]:
    """How many replicas, and on which device, by an application's arguments; see `serving.app.application`.

    Raises:
        SettingsError: an argument is unknown, or no number.
        DeviceError: how many is left open, the GPU was asked for by name, and the cluster has none.
    """
    if unknown := sorted(set(args) - _ARGUMENTS):
        raise SettingsError(f"The application has no argument {unknown[0]!r}.", "Use replicas and device.")
    device = str(args.get("device", "auto"))
    if "replicas" not in args:
        return how_many(max(1, int(resources.get("CPU", 1))), device, resources), device
    told = str(args["replicas"])
    if not told.isascii() or not told.isdigit() or int(told) < 1:
        raise SettingsError(f"replicas is {told!r}.", "Use a whole number, at least 1.")
    return int(told), device


def own_gpu(place: int, gpus: int, visible: str | None) -> str | None:
    """The GPU of one of a node's replicas, as CUDA names it; None: none.

    Args:
        place: which of them it is, from 0.
        gpus: how many Ray sees on the node.
        visible: CUDA_VISIBLE_DEVICES as Ray found it.
    """
    if place >= gpus:
        return None
    named = [each.strip() for each in (visible or "").split(",") if each.strip()]
    return named[place] if place < len(named) else str(place)
