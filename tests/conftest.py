"""The GPU room, for the suites that need one: there, skipped, or failed for what is missing."""

import pytest

from motherlode.compute import Room, choose, driver, room
from motherlode.errors import DeviceError


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
