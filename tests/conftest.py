"""What every suite shares: the GPU room, where there is one; how workers share the tests out; Hypothesis' patience."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from motherlode.compute import Room, choose, driver, room
from motherlode.errors import DeviceError

JOURNEY = ("tests/journey/test_readme.py", "tests/journey/test_upgrade.py")
"""The second goes on where the first ends."""

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class Sharing(LoadFileScheduling):  # type: ignore[misc] # it has no types
    """A file's tests on one worker, one after the other, since they share what its fixtures made; the journey too."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return JOURNEY[0] if file in JOURNEY else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    """How `-n 2` shares the tests out; files in the order of collection, not those with the most tests first."""
    config.option.loadscopereorder = False
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The journeys first: they are the longest, and no worker shall be left with one at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/journey/"))


@pytest.fixture(scope="session")
def gpu_room(request: pytest.FixtureRequest) -> Room:
    """The GPU room. Where there is no GPU its tests are skipped.

    Where there is one and its libraries are missing, `-m gpu`, which asks for these tests alone, fails; the whole
    suite, which `make test` runs in the CPU's environment on any machine, skips them and says what runs them.
    """
    try:
        return room(choose("gpu"))
    except DeviceError as error:
        lacking = error
    try:
        driver.first_gpu()
    except DeviceError as error:
        pytest.skip(f"needs a GPU: {error.problem}")
    if request.config.option.markexpr == "gpu":
        raise lacking
    pytest.skip(f"run `make test-gpu`: {lacking.problem}")
