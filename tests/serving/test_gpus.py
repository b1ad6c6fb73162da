"""Who gets a GPU: one replica each, and at least one beside them."""

import pytest

from motherlode.errors import DeviceError, SettingsError
from serving.gpus import by_arguments, how_many, own_gpu


@pytest.mark.parametrize(
    ("wanted", "device", "resources", "count"),
    [
        (4, "auto", {"CPU": 4.0}, 4),
        (4, "auto", {"CPU": 4.0, "GPU": 1.0}, 4),
        (1, "auto", {"CPU": 1.0, "GPU": 1.0}, 2),
        (2, "gpu", {"CPU": 2.0, "GPU": 4.0}, 5),
        (2, "cpu", {"CPU": 2.0, "GPU": 4.0}, 2),
    ],
)
def test_each_gpu_has_a_replica_and_one_at_least_stands_beside_them(
    wanted: int, device: str, resources: dict[str, float], count: int
) -> None:
    assert how_many(wanted, device, resources) == count


def test_a_gpu_asked_for_by_name_that_the_cluster_lacks_is_an_error() -> None:
    with pytest.raises(DeviceError, match="Ray sees none"):
        how_many(2, "gpu", {"CPU": 2.0})


@pytest.mark.parametrize(
    ("place", "gpus", "visible", "mine"),
    [
        (0, 2, None, "0"),
        (1, 2, None, "1"),
        (2, 2, None, None),
        (0, 0, None, None),
        (1, 2, "3,5", "5"),
        (0, 1, "GPU-5ebe, GPU-77", "GPU-5ebe"),
        (0, 1, "", "0"),
    ],
)
def test_the_first_replicas_of_a_node_take_its_gpus_by_the_names_that_it_gives_them(
    place: int, gpus: int, visible: str | None, mine: str | None
) -> None:
    assert own_gpu(place, gpus, visible) == mine


@pytest.mark.parametrize(
    ("args", "resources", "expected"),
    [
        ({}, {"CPU": 6.0}, (6, "auto")),
        ({}, {"CPU": 1.0, "GPU": 2.0}, (3, "auto")),
        ({}, {}, (1, "auto")),
        ({"replicas": "5", "device": "gpu"}, {}, (5, "gpu")),  # the cluster's GPUs may come later
        ({"replicas": 5}, {"GPU": 8.0}, (5, "auto")),
    ],
)
def test_an_application_is_as_large_as_it_is_told_or_as_the_cluster(
    args: dict[str, str | int], resources: dict[str, float], expected: tuple[int, str]
) -> None:
    assert by_arguments(args, resources) == expected


@pytest.mark.parametrize("told", ["0", "-1", "two", "", "1.5", "²"])
def test_replicas_that_are_no_number_are_refused_by_their_value(told: str) -> None:
    with pytest.raises(SettingsError, match=f"replicas is '{told}'"):
        by_arguments({"replicas": told}, {})


def test_an_argument_that_there_is_not_is_refused_by_its_name() -> None:
    with pytest.raises(SettingsError, match="no argument 'num_replicas'"):
        by_arguments({"num_replicas": 2}, {})
