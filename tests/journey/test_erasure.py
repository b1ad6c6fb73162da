"""A canary: after `motherlode erase` no byte of any file or of Redis tells of the customer, nor when it comes again.

Parquet is searched as it lies and as it decodes, Redis by every value, by the dumps of its streams, and by its
append-only file, all uncompressed.
"""

import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

from feature_repo import store
from feature_repo.erasure import certificate, online
from feature_repo.features import catalogue
from feature_repo.live import consumer
from feature_repo.mart import customers, given, manifest, snapshots
from feature_repo.warehouse import pipeline, tables, vault
from feature_repo.warehouse.mapping.read import read
from motherlode import audit, names
from motherlode.backup.take import take
from motherlode.cli.main import main
from motherlode.compute import choose
from motherlode.events import Appender, Event
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

CANARY, NAME, MAIL = "Kanarienvogel-4711/ä", "Zilpzalp", "fitis@example.net"
COOKIE = "Keks-der-Zilpe-4711"
PIECES = (CANARY, COOKIE, NAME, MAIL, CANARY.replace("ä", "\\u00e4"), CANARY.replace("/", "%2F"))
CUSTOMERS, DAYS = 60, 40
BEGIN = datetime.combine(datetime.now(UTC) - timedelta(days=DAYS), datetime.min.time(), UTC)
MAPPING = """
version: 1
company: An aviary
privacy: {{ pseudonym: {pseudonym} }}
sources:
  visits: {{ files: "visits*.csv" }}
  people: {{ files: "people*.csv" }}
  orders: {{ files: "orders*.csv" }}
tables:
  customers:
    from: people
    columns:
      customer_id: number
      name: {{ from: name, type: string, class: identifier }}
      email: {{ from: mail, type: string, class: identifier }}
  interactions:
    from: visits
    columns: {{ customer_id: number, visitor_id: cookie, page: page, event_timestamp: at }}
  transactions:
    from: orders
    columns:
      customer_id: number
      basket_id: basket
      item_id: item
      amount: {{ from: amount, type: number }}
      event_timestamp: at
"""
KEYS: Mapping[str, Mapping[str, Any]] = {
    "keyless": {},
    "keyed": {"pseudonym_key": "the pseudonym key", "raw_key": "the key of all of raw"},
}


def ids() -> list[str]:
    return [CANARY, *(f"Sperling-{number}" for number in range(CUSTOMERS))]


def people(rows: list[str]) -> str:
    told = (
        f"{who},{NAME if who == CANARY else 'Spatz'},{MAIL if who == CANARY else f'{who}@example.org'}" for who in rows
    )
    return "number,name,mail\n" + "\n".join(told) + "\n"


def visits() -> str:
    """The canary logs in by its cookie once, and is nobody else the other times."""
    told = ((CANARY, COOKIE), ("", COOKIE), ("Sperling-1", "c1"), ("", "c2"))
    lines = (
        f"{who},{cookie},/p{i},{(BEGIN + timedelta(hours=40 * i)).isoformat()}" for i, (who, cookie) in enumerate(told)
    )
    return "number,cookie,page,at\n" + "\n".join(lines) + "\n"


def orders(rows: list[str], seed: int, begin: datetime = BEGIN, days: int = DAYS) -> str:
    """A few baskets of each."""
    rng, lines = random.Random(seed), ["number,basket,item,amount,at"]
    for who in rows:
        for number in range(4):
            at = begin + timedelta(hours=rng.randrange(days * 24 - 1))
            basket = f"{seed}-{number}-{rng.randrange(10**6)}"
            lines += [f"{who},{basket},corn {rng.randrange(6)},{rng.randrange(9000) / 100},{at.isoformat()}"] * 1
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """The views that services need, one that names other customers, and one of items."""
    kept = (
        *(names.RFM, names.SPENDING, names.PRICE_SENSITIVITY, names.AFFINITY, names.CAMPAIGN_HISTORY, names.HISTORY),
        *(names.PURCHASES, names.RELATIONS, names.ITEM_STATISTICS, names.WEB),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue, "MODULES", MappingProxyType({name: catalogue.MODULES[name] for name in kept}))
        yield


@pytest.fixture(scope="module", params=list(KEYS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, few: None) -> Settings:
    """A company in which the canary did everything that a customer can, on a server of its own. Copy it; keep it."""
    folder, keys = tmp_path_factory.mktemp("a company"), KEYS[request.param]
    pseudonym = "hmac-sha256" if keys else "none"
    (folder / "motherlode.yaml").write_text(MAPPING.format(pseudonym=pseudonym))
    (folder / "people.csv").write_text(people(ids()))
    (folder / "orders.csv").write_text(orders(ids(), 1))
    (folder / "visits.csv").write_text(visits())
    settings = replace(Settings(home=folder / "home", mapping=folder / "motherlode.yaml", device="cpu"), **keys)
    with running(settings) as bound:
        load(bound)
        snapshots.build(bound, choose("cpu"))
        label = {names.CUSTOMER_ID: bound.identity.join_key(CANARY), names.TAG: "vip", names.ORIGIN: names.PERSON}
        given.give(bound, pl.DataFrame([{**label, "event_timestamp": BEGIN}]))
        build(bound)
        write(bound)
        save(bound)
        append(bound)
    return settings


@pytest.fixture
def home(made: Settings, tmp_path: Path) -> Settings:
    """A copy of one's own."""
    shutil.copytree(made.home.parent, tmp_path / "company", ignore=shutil.ignore_patterns("*.sock"))
    folder = tmp_path / "company"
    return replace(made, home=folder / "home", mapping=folder / "motherlode.yaml")


@contextmanager
def served(settings: Settings) -> Iterator[Settings]:
    """On its server, which keeps what it holds as it is, so that bytes can be looked for."""
    with running(settings) as bound, connect(bound) as client:
        client.config_set("rdbcompression", "no")
        yield bound


def load(settings: Settings) -> None:
    assert settings.mapping is not None
    pipeline.load(settings, read(settings.mapping))


def build(settings: Settings) -> None:
    snapshots.build(settings, choose("cpu"))
    customers.write_customers(settings)
    store.apply(settings)
    store.materialise(settings)


def write(settings: Settings) -> None:
    """By Feast, the canary's and another one's rows: online and offline."""
    frame = pl.read_parquet(manifest.files(settings, names.RFM)[0]).sort(names.EVENT_TIMESTAMP).tail(2)
    keys = [settings.identity.join_key(each) for each in (CANARY, "Sperling-1")]
    now = pl.lit(datetime.now(UTC)).dt.cast_time_unit("us")
    rows = frame.with_columns(pl.Series(names.CUSTOMER_ID, keys), now.alias(names.EVENT_TIMESTAMP))
    feast = store.open_store(settings)
    feast.write_to_online_store(names.RFM, rows.to_pandas())
    feast.write_to_offline_store(names.RFM, rows.to_pandas())


def save(settings: Settings) -> None:
    """A saved data set."""
    feast = store.open_store(settings)
    keys = [settings.identity.join_key(each) for each in (CANARY, "Sperling-1")]
    labels = pl.DataFrame({names.CUSTOMER_ID: keys, "event_timestamp": [datetime.now(UTC)] * 2}).to_pandas()
    job = feast.get_historical_features(labels, features=feast.get_feature_service(names.SCORING))
    feast.create_saved_dataset(job, "spring", SavedDatasetFileStorage("spring.parquet"), allow_overwrite=True)


def append(settings: Settings) -> None:
    """Events that wait, one of them handed to a consumer that died."""
    with connect(settings) as client:
        found = [Event(event_id=f"{i}", customer_id=who, visitor_id=f"v{i % 2}") for i, who in enumerate(ids()[:4])]
        found.append(Event(event_id="nobody", visitor_id=COOKIE, search_terms="seeds"))
        found.append(Event(event_id="names it", visitor_id="v9", referrer=f"https://x.example/ {CANARY} "))
        Appender(client, settings.project).append_now(found)
        client.xgroup_create("motherlode/@events", "motherlode", id="0")
        client.xreadgroup("motherlode", "motherlode", {"motherlode/@events": ">"}, count=2)


def needles(settings: Settings) -> list[bytes]:
    """What may be nowhere: where there is a key, the pseudonym too."""
    keyed = [settings.identity.join_key(CANARY)] if settings.identity.keyed else []
    return [piece.encode() for piece in (*PIECES, *keyed)]


def in_files(settings: Settings) -> list[str]:
    """The files of home that tell of the canary."""
    sought, found = needles(settings), []
    for path in (path for path in settings.home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if content[:4] in (b"PAR1", b"PARE"):
            with vault.reader(path, settings) as file:
                content += file.read().to_pandas().to_json(date_format="iso", force_ascii=False).encode()
                content += str(file.metadata.to_dict()).encode()
        if any(piece in content or piece in str(path).encode() for piece in sought):
            found.append(path.relative_to(settings.home).as_posix())
    return found


def in_redis(settings: Settings) -> list[str]:
    """The keys of Redis that tell of the canary, by their names or what is in them."""
    with connect(settings) as client:
        dumps = {key: client.dump(key) for key in client.scan_iter("*")}
        return [repr(key) for key, dump in dumps.items() if any(piece in key + dump for piece in needles(settings))]


def erase(settings: Settings, *more: str) -> int:
    told = {"MOTHERLODE_HOME": str(settings.home), "MOTHERLODE_MAPPING": str(settings.mapping)}
    told |= {"MOTHERLODE_PSEUDONYM_KEY": settings.pseudonym_key or "", "MOTHERLODE_RAW_KEY": settings.raw_key or ""}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            main(["erase", CANARY, *more])
    assert isinstance(left.value.code, int)
    return left.value.code


def mart(settings: Settings) -> Mapping[str, pl.DataFrame]:
    found = {}
    for name in manifest.read(settings).views:
        frame = manifest.scan(settings, name).drop(names.CREATED_TIMESTAMP).collect()
        found[name] = frame.sort(names.EVENT_TIMESTAMP, frame.columns[0])
    return found


def test_no_byte_of_an_erased_customer_is_left_or_comes_back(home: Settings) -> None:
    with served(home) as bound:
        before = in_files(home)
        assert {name.partition("/")[0] for name in before} >= {"mart", "raw", "saved", "given", "valkey"}
        assert in_redis(bound)
        assert erase(home, "--dry-run") == 0
        assert in_files(home) == before, "a dry run changes nothing"
        assert erase(home, "--yes") == 0
        assert in_files(home) == []
        assert in_redis(bound) == []
        (told,) = certificate.every(home)
        assert told.complete
        assert {each.name for each in told.places} >= {"raw", "online", "stream", "view", "timeline", "given", "saved"}
        assert all(each.sha256_before != each.sha256_after for each in told.places if each.sha256_before)
        subjects = [entry.subject for entry in audit.read(home) if entry.action == "erase" and told.id in entry.subject]
        assert [subject.partition(",")[0] for subject in subjects] == ["begun", "ended"]
        comes_back(bound)
        happens_again(bound)
        assert in_redis(bound) == []
        with connect(bound) as client:  # what the server was told is in its log of commands until it writes that anew
            assert online.forget_written(client) == []
        assert in_files(home) == []


def comes_back(settings: Settings) -> None:
    """The same files, new ones with it in them, a build, a materialisation, writes by Feast; all of others is there."""
    load(settings)
    folder = settings.home.parent
    (folder / "orders-2.csv").write_text(orders(ids(), 2))
    (folder / "people-2.csv").write_text(people([*ids()[:3], "Sperling-new"]))
    load(settings)
    known = set(tables.outside_ids(settings)[names.OUTSIDE_ID])
    assert CANARY not in known
    assert "Sperling-new" in known
    build(settings)
    written = sum(piece.rows for piece in manifest.read(settings).views[names.RFM].written)
    write(settings)
    assert sum(piece.rows for piece in manifest.read(settings).views[names.RFM].written) == written + 1
    after = mart(settings)
    snapshots.build(settings, choose("cpu"), rebuild=True)
    for name, frame in mart(settings).items():
        assert after[name].equals(frame), name


def happens_again(settings: Settings) -> None:
    """The consumer lands and counts events of others, the canary's it drops."""
    with connect(settings) as client:
        more = [Event(event_id=f"again {i}", customer_id=who) for i, who in enumerate(ids()[:3])]
        Appender(client, settings.project).append_now(more)
    progress = consumer.run(settings, threading.Event(), once=True)
    assert progress.erased == 1
    assert progress.landed == 6, "two of these, and the four that waited"


@pytest.mark.parametrize("made", ["keyless"], indirect=True)
def test_after_a_restore_neither_materialise_nor_push_brings_an_erased_customer_back(
    home: Settings, tmp_path: Path
) -> None:
    """The online store starts empty then, and its guards with it."""
    kept = replace(home, backup_key="a key of backups that is long enough")
    backups = tmp_path / "backups"
    take(kept, backups)
    assert erase(home, "--yes") == 0
    shutil.rmtree(home.home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTHERLODE_BACKUP_KEY", kept.backup_key or "")
        with pytest.raises(SystemExit) as left:
            main(["restore", str(backups), "--home", str(home.home)])
    assert left.value.code == 0
    assert in_files(home) == []
    with running(home) as bound:
        write(bound)  # first of all: nobody has filled the guards
        assert in_redis(bound) == []
        store.apply(bound)
        store.materialise(bound)
        write(bound)
        assert in_redis(bound) == []
        with connect(bound) as client:
            assert redis_rows(client), "others are there"


def redis_rows(client: Any) -> list[bytes]:
    return [key for key in client.scan_iter("*") if b"Sperling-1" in key]


KILLED = """
import os, signal, sys
from pathlib import Path
from feature_repo.erasure import job
from feature_repo.mart import manifest
from motherlode.settings import Settings

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

home, canary, where = sys.argv[1:]
if where == "in the mart":
    manifest.write = die
job.erase(Settings(home=Path(home)), [canary], on_step=lambda step: step == where and die())
"""


@pytest.mark.parametrize("made", ["keyless"], indirect=True)
def test_an_erasure_that_is_killed_is_run_again_and_ends_under_its_certificate(home: Settings) -> None:
    for where in ("tombstones", "in the mart", "mart"):
        command = [sys.executable, "-c", KILLED, str(home.home), CANARY, where]
        job = subprocess.run(command, capture_output=True, text=True, check=False)
        assert job.returncode == -signal.SIGKILL, job.stderr
        assert [each.ended_at for each in certificate.every(home)] == [None]
    with served(home) as bound:
        assert erase(home, "--yes") == 0
        assert in_files(home) == []
        assert in_redis(bound) == []
    (told,) = certificate.every(home)
    assert told.complete
    assert {each.name for each in told.places} >= {"raw", "online", "stream", "view", "timeline", "given", "saved"}
    assert audit.verify(home) > 0
