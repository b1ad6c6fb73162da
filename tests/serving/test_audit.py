"""The access log: every answer is in it, nothing in it is clear, and whatever is done to it is noticed and named."""

import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient

from motherlode import audit as acts
from motherlode import chain
from motherlode.chain import Chain, Draft, Entry
from motherlode.cli.audit import audit as command
from motherlode.client import Client
from motherlode.errors import DataError
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings
from serving import audit
from serving.audit import Journal
from serving.http import build
from serving.problems import Refusal
from serving.pseudonyms import Pseudonyms
from tests.serving.listening import listening

if TYPE_CHECKING:
    from tests.serving.conftest import Company

HEADERS = [(b"x-request-id", b"r-1")]


def written(home: Path, count: int = 3, ids: Sequence[int | str] = (1, "someone@example.com")) -> Settings:
    """A home whose access log has some entries."""
    settings = Settings(home=home, pseudonym_key="a secret of sixteen bytes")
    journal = Journal(settings)
    journal.start()
    for _ in range(count):
        journal.note("key-1", "/v1/score", "marketing", 200, ids, "v1", HEADERS)
    journal.stop()
    return settings


def files(settings: Settings) -> list[Path]:
    return sorted(audit.folder_of(settings).glob("*.jsonl"))


def entries(settings: Settings) -> list[Entry]:
    return [
        msgspec.json.decode(line, type=Entry) for path in files(settings) for line in path.read_bytes().splitlines()
    ]


def test_what_was_answered_is_written_and_nothing_in_it_is_clear(tmp_path: Path) -> None:
    settings = written(tmp_path)
    assert audit.verify(settings) == 3
    first = entries(settings)[0]
    who = Pseudonyms(Tombstones(settings)).of([1, "someone@example.com"])
    assert (first.actor, first.action, first.subject) == ("key-1", audit.ASKED, "/v1/score")
    assert first.details == {
        "purpose": "marketing",
        "status": 200,
        "customers": 2,
        "who": ",".join(who),
        "bundle": "v1",
        "request": "r-1",
    }
    assert b"someone" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert audit.folder_of(settings).stat().st_mode & 0o077 == 0
    assert [each.subject for each in audit.asked_for(settings, "1")] == ["/v1/score"] * 3, '"1" and 1 are one customer'
    assert audit.asked_for(settings, 2) == []


def test_odd_words_of_callers_make_no_lines_and_no_addresses(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    journal = Journal(settings)
    journal.start()
    journal.note("", "/v1/score", "x" * 500, 200, [1], "v1", [(b"x-request-id", b"a\nb@c.de\xff")])
    journal.stop()
    (entry,) = entries(settings)
    assert (entry.actor, entry.details["request"]) == ("anonymous", "a_b_c.deÿ")
    assert len(str(entry.details["purpose"])) == 128


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: [lines[0], lines[1].replace(b"/v1/score", b"/v1/scorf"), *lines[2:]], "Entry 2 .* was changed"),
        (lambda lines: [lines[0], *lines[2:]], "Entry 2 .* removed, inserted or moved"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "Entry 1 .* removed, inserted or moved"),
        (lambda lines: [*lines, lines[-1]], "Entry 5 .* stands behind the last one"),
        (lambda lines: lines[:-1], "entry 4 and what follows was removed"),
        (lambda _: [], "entry 1 and what follows was removed"),
    ],
)
def test_whatever_is_done_to_a_line_is_found_and_named(tmp_path: Path, change: Any, told: str) -> None:
    settings = written(tmp_path, 4)
    (path,) = files(settings)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DataError, match=told):
        audit.verify(settings)


def test_a_file_that_is_removed_is_missed_and_one_that_is_dropped_is_not(tmp_path: Path) -> None:
    settings = written(tmp_path)
    written(tmp_path)
    assert len(files(settings)) == 2
    assert audit.drop(settings, "2000-01-01") == []
    (kept, removed) = files(settings)
    for path in (removed, removed.with_suffix(".head")):
        path.rename(tmp_path / path.name)
    with pytest.raises(DataError, match=f"{removed.name} was begun, and is not there"):
        audit.verify(settings)
    for path in (removed, removed.with_suffix(".head")):
        (tmp_path / path.name).rename(path)
    assert set(audit.drop(settings, "9999-01-01")) == {kept.name, removed.name}
    assert (files(settings), audit.verify(settings)) == ([], 0)
    assert [each.action for each in acts.read(settings)] == [audit.BEGUN] * 2 + [audit.DROPPED] * 2


def test_a_kill_costs_a_second_at_most_and_leaves_the_log_whole(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from motherlode.settings import Settings
from serving.audit import Journal
journal = Journal(Settings(home=Path(sys.argv[1])))
journal.start()
n = 0
while True:
    n += 1
    journal.note("k", "/v1/score", "service", 200, [n], "v1")
    print(n, flush=True)
    time.sleep(0.001)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    at: dict[int, float] = {}
    for line in process.stdout:
        at[int(line)] = time.monotonic()
        if at[int(line)] > at[1] + 2.2:
            break
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    process.wait()
    kept = audit.verify(Settings(home=tmp_path))
    assert kept, "2.2 seconds are longer than one, and what a commit takes on a busy machine"
    assert killed - at[kept] < 2.2


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Any]:
    """A way to make the disk full: nobody writes files of more bytes than said."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_nobody_unless_the_log_is_required_and_nothing_is_lost(
    tmp_path: Path, full: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_COMMIT_S", 0.1)
    settings = written(tmp_path, 1)
    for mode in ("on", "required"):
        journal = Journal(replace(settings, access_log=mode))
        journal.start()
        full(1500)
        for number in range(20):
            journal.note("k", "/v1/score", mode, 200, [number], "v1")
        time.sleep(0.6)
        if mode == "required":
            with pytest.raises(Refusal, match="must be written down") as refused:
                journal.require()
            assert refused.value.status_code == 503
        else:
            journal.require()
        full(resource.RLIM_INFINITY)
        journal.stop()
        journal.require()
    assert audit.verify(settings) == 41
    purposes = [entry.details["purpose"] for entry in entries(settings)]
    assert [purposes.count(mode) for mode in ("on", "required")] == [20, 20]


def read_bytes() -> int:
    """What this process has read so far, from files and from the system."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("short", [100, 1_000_000])
def test_while_the_disk_is_full_no_failed_write_reads_the_file_again(
    tmp_path: Path, full: Any, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    """Whether the lines do not fit, or already the head that announces them."""
    monkeypatch.setattr(audit, "_COMMIT_S", 0.1)
    settings = Settings(home=tmp_path)
    journal = Journal(settings)
    journal.start()
    for _ in range(400):
        journal.note("k", "/v1/score", "before", 200, range(500), "v1")
    until = time.monotonic() + 10
    while not (journal.waiting == 0 and acts.read(settings)) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.5)
    (path,) = files(settings)
    length = path.stat().st_size
    assert length > 5_000_000
    full(length + 100 if short == 100 else 1_000)
    before = read_bytes()
    for number in range(12):
        journal.note("k", "/v1/score", "while it is full", 200, [number], "v1")
        time.sleep(0.06)
    assert [journal.failing] == [True]
    assert read_bytes() - before < length / 10, "in half a dozen failed writes"
    full(resource.RLIM_INFINITY)
    journal.stop()
    assert [journal.failing, journal.waiting] == [False, 0]
    assert (len(files(settings)), audit.verify(settings)) == (1, 412)
    assert len(audit.asked_for(settings, 11)) == 401


ON_A_SMALL_DISK = """
import sys, time
from pathlib import Path
from motherlode.settings import Settings
from serving import audit
home = Path(sys.argv[1])
audit._COMMIT_S = 0.1
journal = audit.Journal(Settings(home=home))
journal.start()
told = 0
filler = home / "filler"
with filler.open("wb", buffering=0) as file:
    for round in range(3):
        for _ in range(20):
            journal.note("k", "/v1/score", "service", 200, range(50), "v1")
            told += 1
        time.sleep(0.3)
        if round == 0:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError as error:
                assert error.errno == 28, error
        print(journal.failing)
filler.unlink()
journal.stop()
print(journal.failing, audit.verify(Settings(home=home)) == told)
"""


def test_a_disk_that_is_really_full_loses_no_line(tmp_path: Path) -> None:
    """On a disk of 512 KiB of its own, in a name space of its own."""
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    mount = shlex.join(["mount", "-t", "tmpfs", "-o", "size=512k", "small", str(tmp_path)])
    if subprocess.run([*isolated, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk of their own")
    script = tmp_path.with_suffix(".py")
    script.write_text(ON_A_SMALL_DISK)
    command = f"{mount}; exec {shlex.join([sys.executable, str(script), str(tmp_path)])}"
    told = subprocess.run([*isolated, command], capture_output=True, text=True, check=False, cwd=Path.cwd())
    assert told.stdout.split() == ["False", "True", "True", "False", "True"], told.stderr


def test_a_file_that_has_its_size_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_SIZE", 20_000)
    settings = written(tmp_path, 300)
    assert len(files(settings)) > 3
    assert max(path.stat().st_size for path in files(settings)) < 21_000
    assert {path.name for path in files(settings)} == {each.subject for each in acts.read(settings)}
    assert (audit.verify(settings), len(audit.asked_for(settings, 1))) == (300, 300)
    gone = files(settings)[1]
    gone.unlink()
    gone.with_suffix(".head").unlink()
    with pytest.raises(DataError, match=f"{gone.name} was begun, and is not there"):
        audit.verify(settings)


def test_whoever_was_asked_for_is_found_in_older_logs_as_well(tmp_path: Path) -> None:
    settings = written(tmp_path, 1)
    old = Tombstones(settings).digest("access", "someone@example.com")[:24]
    path = audit.folder_of(settings) / "2026-01-01-host-1-a.jsonl"
    log = Chain(path, path.with_suffix(".head"), settings.identity)
    details: dict[str, str | int] = {
        "purpose": "service",
        "status": 200,
        "customers": 1,
        "who": old,
        "bundle": "v0",
        "request": "",
    }
    chain.append(log, [Draft("2026-01-01T00:00:00.000+00:00", "k", audit.ASKED, "/v1/score", details)])
    assert [each.details["bundle"] for each in audit.asked_for(settings, "someone@example.com")] == ["v0", "v1"]
    assert [each.details["bundle"] for each in audit.asked_for(settings, 1)] == ["v1"]


def test_a_file_that_somebody_changes_is_left_for_verify_and_another_begun(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    journal = Journal(settings)
    journal.start()
    journal.note("k", "/v1/score", "before", 200, [1], "v1")
    until = time.monotonic() + 5
    while not (files(settings) and files(settings)[0].stat().st_size) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.2)
    (changed,) = files(settings)
    changed.write_bytes(changed.read_bytes().replace(b"before", b"beford"))
    journal.note("k", "/v1/score", "after", 200, [1], "v1")
    journal.stop()
    assert len(files(settings)) == 2
    assert [entry.details["purpose"] for entry in entries(settings)].count("after") == 1
    with pytest.raises(DataError, match=r"Entry 1 .* was changed"):
        audit.verify(settings)


class Here:
    """An application that is called from this machine."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["client"] = ("127.0.0.1", 50000)
        await self.application(scope, receive, send)


def test_every_route_that_names_customers_is_in_it(company: "Company") -> None:
    here: Any = Here(build(replace(company.settings, caps="marketing=9/7d")))
    about = {"customer_id": 1, "purpose": "marketing"}
    with TestClient(here) as client:
        for route in ("score", "recommend", "features"):
            assert client.post(f"/v1/{route}", json={"customer_ids": [1, "abc"]}).status_code == 200
        client.get("/v1/customers/1", headers={"x-request-id": "mine"})
        client.post("/v1/score", json={"customer_ids": [1], "purpose": "nothing"})
        client.get("/healthz")
        assert client.post("/v1/consent", json={**about, "granted": True}).status_code == 200
        assert client.post("/v1/contacts", json={**about, "channel": "email", "contact_id": "c"}).status_code == 200
        events = [{"event_id": f"{n}", "customer_id": n % 2, "visitor_id": "v"} for n in range(4)]
        assert client.post("/v1/events", json={"events": events}).status_code == 202
        assert client.post("/v1/events", json={"events": [{"event_id": "5", "visitor_id": "v"}]}).status_code == 202
    settings = company.settings
    assert audit.verify(settings) == 7
    found = audit.asked_for(settings, 1)
    routes = {"score", "recommend", "features", "customers", "consent", "contacts", "events"}
    assert {each.subject for each in found} == {f"/v1/{route}" for route in routes}
    assert [each.details["customers"] for each in found if each.subject == "/v1/events"] == [2], "each once"
    assert [each.details["request"] for each in found if each.subject == "/v1/customers"] == ["mine"]
    shown = CliRunner().invoke(command, ["asked", "abc", "--home", str(settings.home)], catch_exceptions=False).output
    assert "3 requests" in shown
    told = CliRunner().invoke(command, ["verify", "--home", str(settings.home)], catch_exceptions=False).output
    assert "7 entries of who asked for whom, none changed." in told


def test_a_portrait_is_of_the_id_that_was_sent_whatever_it_holds(company: "Company") -> None:
    odd = ["a/b", "/", "a//b/", "50%", "%2F", "a b?c#d&e=f+g", "Zoë", "..", "x@y.z", "{7}"]
    with listening(company.settings) as url, Client(url) as client:
        for each in odd:
            company.put_customer(entity_text((each,)))
            answer = client.portrait(each, purpose="marketing")
            assert (answer.customer_id, answer.status) == (each, "ok")
        assert client.portrait("7/").status == "cold", "another customer than 7"
        with pytest.raises(HTTPError, match="404"), urlopen(f"{url}/v1/customers/a/b"):
            pass
        with urlopen(f"{url}/v1/customers/1/") as answered:
            assert answered.status == 200, "a slash at the end that is none of the id's"
    for each in odd:
        assert [entry.subject for entry in audit.asked_for(company.settings, each)] == ["/v1/customers"]


def test_switched_off_nothing_is_written(company: "Company") -> None:
    settings = replace(company.settings, access_log="off")
    with TestClient(build(settings)) as client:
        assert client.post("/v1/score", json={"customer_ids": [1]}).status_code == 200
    assert not audit.folder_of(settings).exists()


def until(what: Any) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_file_is_told_before_it_has_a_line(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    journal = Journal(settings)
    journal.note("k", "/v1/score", "service", 200, [1], "v1")
    journal._make()
    journal._tell()  # killed here, nothing is missed
    (begun,) = acts.read(settings)
    (path,) = files(settings)
    assert (begun.subject, path.read_bytes(), audit.verify(settings)) == (path.name, b"", 0)
    journal._commit()
    assert audit.verify(settings) == 1
    content, head = path.read_bytes(), path.with_suffix(".head").read_bytes()
    path.unlink()
    with pytest.raises(DataError, match="was begun, and is not there"):
        audit.verify(settings)
    path.touch()
    path.with_suffix(".head").unlink()
    with pytest.raises(DataError, match=r"\.head is missing"):
        audit.verify(settings)
    path.write_bytes(content)
    path.with_suffix(".head").write_bytes(head)
    assert audit.verify(settings) == 1


def test_files_that_were_begun_while_the_audit_log_refused_are_told_when_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_COMMIT_S", 0.05)
    monkeypatch.setattr(audit, "_SIZE", 2_000)
    settings = Settings(home=tmp_path)
    log = settings.home / acts.LOG
    acts.record(settings, "load", "one")
    content = log.read_bytes()
    log.write_bytes(b"somebody changed it\n")
    journal = Journal(settings)
    journal.start()
    for number in range(20):
        journal.note("k", "/v1/score", "service", 200, [number], "v1")
    until(lambda: len(files(settings)) > 2 and journal.failing)
    log.write_bytes(content)
    journal.stop()
    assert not journal.failing
    begun = [each.subject for each in acts.read(settings) if each.action == audit.BEGUN]
    assert sorted(begun) == [path.name for path in files(settings)]
    assert audit.verify(settings) == 20


def test_a_request_that_makes_no_line_stops_none_behind_it_and_is_counted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    journal = Journal(settings)
    journal.start()
    nobody: Any = None
    journal.note(nobody, "/v1/score", "service", 200, [1], "v1")
    journal.note("k", "/v1/score", "service", 200, ["\ud800"], "v1")
    journal.note("k", "/v1/score", "service", 200, [1], "v1")
    journal.stop()
    assert (journal.failing, journal.waiting, journal.lost) == (False, 0, 2)
    actions = [each.action for each in entries(settings)]
    assert actions == [audit.LOST, audit.LOST, audit.ASKED]
    assert audit.verify(settings) == 3
