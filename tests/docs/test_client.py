"""docs/client.md: its snippets run as they stand there, against the real application."""

import importlib.util
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from motherlode.redis_server import connect, running
from motherlode.settings import Settings
from serving.http import build

HERE = Path(__file__).parent
TEXT = (HERE.parents[1] / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the real application, with serving's small company behind it."""
    spec = importlib.util.spec_from_file_location("docs_company", HERE.parent / "serving" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = shared
    spec.loader.exec_module(shared)
    home = tmp_path_factory.mktemp("company") / "home"
    with running(Settings(home=home)) as bound, connect(bound) as redis:
        company = shared.Company(Settings(home=home, redis_url=bound.redis_url, redis_budget_s=1.0), redis)
        company.publish("v1")
        company.put_customer("1")
        company.put_customer("2")
        server = uvicorn.Server(uvicorn.Config(build(company.settings), port=0, log_level="critical"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started and thread.is_alive():
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join()


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
