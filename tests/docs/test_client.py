"""docs/client.md: its snippets run as they stand there, against the real application."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.listening import listening, small_company

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the real application, with serving's small company behind it."""
    with small_company(tmp_path_factory.mktemp("company") / "home", 1.0) as company, listening(company.settings) as url:
        yield url


def test_every_snippet_runs_and_gets_what_the_text_says(served: str) -> None:
    found: dict[str, Any] = {}
    for block in BLOCKS:
        assert "http://127.0.0.1:8000" in block
        exec(block.replace("http://127.0.0.1:8000", served), found)
    assert (found["bundle"], found["statuses"]) == ("v1", ["ok", "ok"])
    assert 0 < found["chance"] < 1
    assert len(found["items"].results[0].items) == 5
    assert found["features"].features["rfm"].status == ["present", "present"]
    assert len(found["similar"].results[0].items) == 3
    assert found["everything"].customer_id == 1
    assert found["refused"] == (422, "$.campaign.type", "Use one of Type A, Type B.")
