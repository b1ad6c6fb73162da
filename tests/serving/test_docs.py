"""The page at /docs: whole without the network."""

import re
from typing import TYPE_CHECKING

from litestar.testing import TestClient

from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company


def test_the_page_needs_nothing_from_elsewhere_and_shows_every_call(company: "Company") -> None:
    with TestClient(build(company.settings)) as client:
        page = client.get("/docs")
        paths = client.get("/openapi.json").json()["paths"]
        assert client.get("/", follow_redirects=False).headers["location"] == "/docs"
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r"https?://|//[a-z]+\.", page.text) == []
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page.text)) == {"data:,", "/openapi.json"}
    for path in paths:
        assert f" {path}</code>" in page.text
    for field in ("customer_ids", "exclude_purchased", "features_age_s", "campaign_type", "remedy"):
        assert field in page.text
