"""What Prometheus itself says of rules and metrics."""

import os
import shutil

import pytest


@pytest.fixture
def promtool() -> str:
    """Prometheus' tool. CI must have it; elsewhere the test is skipped, and says what it lacks."""
    found = shutil.which("promtool")
    if found is None:
        lack = "No promtool is installed: run scripts/install_system_packages.sh."
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)
    return found
