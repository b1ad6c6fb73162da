"""`motherlode status`: a table for people, JSON and metrics for machines, and what it says of a store that is down."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from feature_repo.mart import manifest
from feature_repo.mart.manifest import Built, Manifest, Piece
from motherlode import bundle, bundles, refusal
from motherlode.cli.main import main
from motherlode.redis_server import connect, running
from motherlode.refusal import Refusal
from motherlode.settings import Settings
from tests.serving.conftest import bundle_files, make_manifest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("REDIS_URL", raising=False)
    made = tmp_path / "a home"
    made.mkdir()
    return made


def run(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["status", *arguments, "--home", str(home)])
    assert isinstance(left.value.code, int)
    printed = capsys.readouterr()
    return left.value.code, printed.out, printed.err


def values(text: str) -> dict[str, float]:
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_an_empty_home_has_every_view_and_fits_a_hundred_columns(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = run(capsys, home)
    assert code == 0
    assert "price_sensitivity" in shown and "Bundle: none." in shown and "Store: " in shown
    assert "cannot be read" not in shown
    assert max(map(len, shown.splitlines())) <= 100 and "…" not in shown.replace(str(home), "")


def test_a_bundle_that_serving_refused_is_said_with_what_answers_in_its_place(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = home / "models"
    for version in ("v1", "v2"):
        bundle.write(models, make_manifest(version, "motherlode"), bundle_files(), lambda _: None)
        bundles.flip(models, version)
    _, shown, _ = run(capsys, home)
    assert "Bundle v2" in shown and "refused" not in shown
    written_ns = bundles.pointer(models).written_ns
    refusal.write(models, Refusal(written_ns, 1.0, "v2", "v1", "Its answers are shifted."))
    _, shown, _ = run(capsys, home)
    assert "Serving refused it, v1 answers" in shown and "Its answers are shifted." in shown


def test_json_and_metrics_hold_what_the_table_shows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(home=home)
    with running(settings) as bound:
        with connect(bound) as client:
            client.set("motherlode/rfm/0/{1}x", b"")
        code, shown, _ = run(capsys, home, "--json")
        found = json.loads(shown)
        assert code == 0 and found["problem"] == ""
        rfm = next(view for view in found["views"] if view["name"] == "rfm")
        assert rfm["online"]["rows"] == 1 and rfm["offline"] is None
        code, shown, _ = run(capsys, home, "--prometheus")
        assert code == 0 and values(shown)["motherlode_online_up"] == 1
        assert 'motherlode_feature_online_rows{view="rfm"} 1.0\n' in shown
        assert 'motherlode_feature_corrupt_ratio{view="rfm"} 1.0\n' in shown
        assert "Online rows that cannot be read: 100% of rfm." in run(capsys, home)[1]


def test_a_metrics_file_is_written_in_one_step(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "collector").mkdir()
    file = tmp_path / "collector" / "motherlode.prom"
    assert run(capsys, home, "--prometheus", str(file))[:2] == (0, "")
    assert values(file.read_text())["motherlode_online_up"] == 1
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    code, _, said = run(capsys, home, "--prometheus", str(tmp_path / "nowhere" / "x.prom"))
    assert code == 1 and "nowhere" in said


def test_a_store_that_is_down_is_said_and_the_rest_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    code, shown, said = run(capsys, home)
    assert code == 1 and "rfm" in shown and "does not answer" in said and "REDIS_URL" in said
    assert "secret" not in shown + said
    code, shown, _ = run(capsys, home, "--prometheus")
    assert code == 1 and values(shown) == {"motherlode_online_up": 0, **values(shown)}
    assert values(shown)["motherlode_online_up"] == 0


def test_no_state_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(capsys, tmp_path / "none")
    assert code == 1 and "There is no state in" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--json", "--prometheus"), "three things: give one"),
        (("--json", "--listen", "9464"), "three things: give one"),
        (("--prometheus", "--listen", "9464"), "three things: give one"),
        (("--every", "5"), "--every belongs to --listen"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, shown, error = run(capsys, home, *arguments)
    assert (code, shown) == (2, "") and said in error


def test_metrics_are_served_on_this_machine_alone_and_measured_anew(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = "from motherlode.cli.main import main; import sys; main(sys.argv[1:])"
    arguments = ["status", "--listen", str(port), "--every", "1", "--home", str(home)]
    with running(Settings(home=home)) as bound, subprocess.Popen([sys.executable, "-c", command, *arguments]) as server:
        try:
            url = f"http://127.0.0.1:{port}/metrics"
            before = values(scrape(url))
            assert before["motherlode_online_up"] == 1
            again = values(scrape(url))
            assert again["motherlode_measured_timestamp_seconds"] == before["motherlode_measured_timestamp_seconds"]
            with connect(bound) as client:
                client.set("other", "x")
            time.sleep(1.1)
            assert values(scrape(url))["motherlode_online_keys"] == before["motherlode_online_keys"] + 1
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
            damaged(home)
            time.sleep(1.1)
            with pytest.raises(urllib.error.HTTPError, match=r"(?s)500: What is there cannot be measured"):
                urllib.request.urlopen(url, timeout=30)
            manifest.write(Settings(home=home), Manifest())
            assert values(scrape(url))["motherlode_online_up"] == 1
            assert {each.laddr.ip for each in listening(server.pid)} == {"127.0.0.1"}
        finally:
            server.terminate()
    assert server.returncode == 128 + 15


def damaged(home: Path) -> None:
    """A view of the mart whose file is no Parquet."""
    (home / "mart").mkdir(exist_ok=True)
    (home / "mart" / "rfm.0.parquet").write_bytes(b"no Parquet")
    piece = Piece(path="rfm.0.parquet", partition=0, era="2026-11", rows=1, sha256="")
    built = Built(view="rfm", code="", pieces=(piece,), rows=1, created_at=datetime.now(UTC), seconds=0.0)
    manifest.write(Settings(home=home), Manifest(views={"rfm": built}))


def scrape(url: str) -> str:
    """The metrics, once the server is up."""
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                text: str = answer.read().decode()
                return text
        except urllib.error.URLError:
            assert time.monotonic() < until
            time.sleep(0.1)


def listening(pid: int) -> list[Any]:
    return [each for each in psutil.Process(pid).net_connections("tcp") if each.status == psutil.CONN_LISTEN]
