"""The README's commands run as they stand there, in the order of its three journeys."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
REPOSITORY = Path(__file__).parents[2]


def commands(heading: str) -> list[str]:
    """The `$ ` lines of the console blocks below a heading; a line that ends in a backslash goes on."""
    section = re.split(rf"^#+ {re.escape(heading)}\n", README, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    found = [line[2:] for line in lines if line.startswith("$ ")]
    assert found, f"the README shows no commands below {heading!r}"
    return found


@contextmanager
def serving(folder: Path, environment: dict[str, str], port: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server started as a person would, ready; ended by Ctrl-C within ten seconds, nothing left behind."""
    log = (folder / "server.log").open("ab")
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("motherlode")), *arguments],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_ready(process, port, folder / "server.log")
        yield process
    finally:
        family = [process, *_children(process.pid)]
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # what a terminal's Ctrl-C does
        try:
            process.wait(30)
        finally:
            log.close()
            for member in family:
                if member.pid != process.pid and psutil.pid_exists(member.pid):
                    psutil.Process(member.pid).wait(5)
    took = time.monotonic() - started
    assert took < 10, f"Ctrl-C took {took:.1f} s"
    _assert_port_free(port)


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True) if psutil.pid_exists(pid) else []


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"the server was not ready within 120 s:\n{log.read_text()}")


def _assert_port_free(port: int) -> None:
    for connection in psutil.net_connections("tcp"):
        assert not (connection.status == psutil.CONN_LISTEN and connection.laddr.port == port), f"{port} is held"


def _assert_equal_scores(batch: Path, online: list[dict[str, Any]]) -> None:
    """`motherlode score`, from the snapshots, and `/v1/score`, from Redis, say the same of the same customer."""
    rows = {row["outside_id"]: row for row in pl.read_parquet(batch).to_dicts()}
    known = [result for result in online if result["status"] == "ok"]
    assert known
    for result in known:
        row = rows[result["customer_id"]]
        assert row["segment_id"] == result["segment"]["id"]
        for name, value in result["scores"].items():
            assert row[name] == pytest.approx(value, abs=2e-6)


@pytest.mark.timeout(900)  # two trainings, and every command: minutes, on a busy machine many
def test_the_three_journeys(folder: Path, environment: dict[str, str], port: int, shell: Callable[[str], str]) -> None:
    """Engineer, researcher, application: each command of the README succeeds, the answers are personal."""
    # The README stands in the checkout; here the state lies elsewhere, so Feast is told where both are.
    home, checkout = (shlex.quote(str(path)) for path in (folder / ".motherlode", REPOSITORY / "feature_repo"))
    for line in commands("The ML engineer") + commands("The researcher"):
        line = line.replace("feast -c feature_repo", f"MOTHERLODE_HOME={home} feast -c {checkout}")
        shell(line.replace("examples/demo", shlex.quote(str(REPOSITORY / "examples" / "demo"))))
    assert (folder / "scores.parquet").exists()
    with serving(folder, environment, port, "serve"):
        answers = [json.loads(shell(line.replace(":8000", f":{port}"))) for line in commands("The application")]
    score, recommend, features, portrait, marketing = answers
    _assert_equal_scores(folder / "scores.parquet", score["results"])
    assert score["device"] == "cpu"
    assert score["results"][0]["status"] == "ok"
    assert 0 <= score["results"][0]["scores"]["response"] <= 1
    assert recommend["results"][0]["source"] == "personal"
    assert len(recommend["results"][0]["items"]) == 5
    assert features["customer_ids"] == [result["customer_id"] for result in score["results"]]
    known = [result["status"] != "cold" for result in score["results"]]
    assert [status == "present" for status in features["features"]["rfm"]["status"]] == known
    assert known[0]
    assert portrait["customer_id"] == recommend["results"][0]["customer_id"]
    assert marketing["results"][0]["source"] == "personal", "nobody withdrew"


def test_a_second_run_reuses_what_is_valid_and_serves(
    folder: Path, environment: dict[str, str], port: int, shell: Callable[[str], str]
) -> None:
    """`motherlode demo --serve` on the journeys' state trains nothing anew, answers, and ends cleanly; twice."""
    before = shell("motherlode evaluate")
    for _ in range(2):
        with serving(folder, environment, port, "demo", "--serve"):
            body = json.dumps({"customer_ids": [1, "nobody"], "campaign": {"type": "Type A"}}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/score", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                results = json.loads(answer.read())["results"]
            assert [result["customer_id"] for result in results] == [1, "nobody"]
            assert results[1]["status"] == "cold"
    assert shell("motherlode evaluate") == before


def test_a_busy_port_names_its_holder(folder: Path, environment: dict[str, str], port: int) -> None:
    holder = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"], cwd=folder)
    try:
        until = time.monotonic() + 10
        while time.monotonic() < until and not psutil.Process(holder.pid).net_connections():
            time.sleep(0.05)
        answer = subprocess.run(
            [str(Path(sys.executable).with_name("motherlode")), "serve", "--port", str(port)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        holder.kill()
        holder.wait()
    assert answer.returncode == 1
    assert str(port) in answer.stderr
    assert str(holder.pid) in answer.stderr
    assert "http.server" in answer.stderr
