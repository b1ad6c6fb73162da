"""Files behind URLs: listed, fetched and landed like those here; no secret is shown."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from feature_repo.warehouse import raw
from feature_repo.warehouse.sources import cloud
from motherlode.errors import DataError


@pytest.fixture
def web(company: Any) -> Iterator[str]:
    """A web server of the company's folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(company.folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _put(company: Any, *names: str) -> str:
    for name in names:
        path = company.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a,b\n1,2\n")
    return str(Path(company.folder).as_uri())


def test_a_glob_behind_a_url_lists_one_folder_or_all(company: Any) -> None:
    base = _put(company, "a.csv", "b.csv", "deep/er/c.csv", "c [1].txt")
    assert [each.uri for each in cloud.entries(f"{base}/*.csv", "till")] == [f"{base}/a.csv", f"{base}/b.csv"]
    everywhere = [each.uri for each in cloud.entries(f"{base}/**/*.csv", "till")]
    assert everywhere == [f"{base}/a.csv", f"{base}/b.csv", f"{base}/deep/er/c.csv"]
    (one,) = cloud.entries(f"{base}/a.csv", "till")
    assert one.size == 8 and one.modified is not None


def test_a_file_behind_a_url_is_landed(company: Any) -> None:
    base = _put(company, "sales data/a.csv")
    (found,) = company.find(files=f"{base}/sales%20data/a.csv")
    landed = raw.land(company.settings, company.project(files=found.uri), found, 1, found.modified)
    assert company.rows(landed).row(0) == (1, 2, "1", "2")
    assert landed.size == 8
    assert raw.digest_of(found) == ""


def test_a_file_on_the_web_is_landed(company: Any, web: str) -> None:
    _put(company, "a.csv")
    url = f"{web}/a.csv?signature=secret"
    (found,) = company.find(files=url)
    landed = raw.land(company.settings, company.project(files=url), found, 1, found.modified)
    assert company.rows(landed).height == 1
    assert landed.name == f"{web}/a.csv"
    assert "secret" not in repr(found) + repr(landed)


def test_what_is_not_there_is_named_without_secrets(company: Any, web: str) -> None:
    base = _put(company)
    for url in (f"{base}/none.csv", f"{base}/none/*.csv", f"{web}/none.csv?key=secret"):
        with pytest.raises(DataError) as raised:
            company.find(files=url)
        assert "none" in str(raised.value)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass@host.example/a/b.csv?sig=1", "https://host.example/a/b.csv"),
        ("s3://key:secret@bucket/a.csv?region=eu", "s3://bucket/a.csv"),
        ("data/a.csv", "data/a.csv"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert cloud.shown(url) == shown


def test_a_glob_behind_a_url_names_what_it_matches_and_cannot_read(company: Any) -> None:
    base = _put(company, "o/a.csv", "o/a.dat", "o/_SUCCESS", "o/.a.csv.swp")
    problems = {found.name.rpartition("/")[2]: found.problem for found in company.find(files=f"{base}/o/*")}
    assert {name: problem.rpartition("/")[2] for name, problem in problems.items()} == {
        "a.csv": "",
        "a.dat": "a.dat: its ending tells no format.",
    }
    assert [found.problem for found in company.find(files=f"{base}/o/*", format="csv")] == ["", ""]
    with pytest.raises(DataError, match="nothing is there"):
        company.find(files=f"{base}/o/_*")
    with pytest.raises(DataError, match="whose ending tells no format"):
        company.find(files=f"{base}/o/a.dat")
