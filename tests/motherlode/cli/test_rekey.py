"""`motherlode rekey` on a real company: both keys resolve until it has ended, and nothing knows the old key after."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis

from feature_repo import store
from feature_repo.warehouse import state, tables, vault
from motherlode import audit, consent, names, people
from motherlode.cli.main import main
from motherlode.consent import Ledger, Word
from motherlode.identity import Identity
from motherlode.online.keys import entity_text
from motherlode.online.reader import AsyncOnlineReader, ViewRequest
from motherlode.packed import Status
from motherlode.people import People
from motherlode.redis_server import connect, running
from motherlode.settings import Settings
from serving.reading import connect as connect_async

COMMAND = str(Path(sys.executable).with_name("motherlode"))
EXAMPLE = Path(__file__).parents[3] / "examples" / "online_shop"
OLD, NEW = "the pseudonym key that was", "the pseudonym key that comes"
RAW_OLD, RAW_NEW = "the raw key that was", "the raw key that comes"
ERASED = "K10001"


def environment(settings: Settings) -> dict[str, str]:
    told = {
        "MOTHERLODE_HOME": str(settings.home),
        "MOTHERLODE_MAPPING": str(settings.mapping),
        "MOTHERLODE_DEVICE": "cpu",
        "REDIS_URL": settings.redis_url or "",
        "MOTHERLODE_PSEUDONYM_KEY": settings.pseudonym_key or "",
        "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS": "\n".join(settings.previous_pseudonym_keys),
        "MOTHERLODE_RAW_KEY": settings.raw_key or "",
        "MOTHERLODE_PREVIOUS_RAW_KEY": settings.previous_raw_key or "",
    }
    return {**{name: value for name, value in os.environ.items() if not name.startswith("MOTHERLODE_")}, **told}


@dataclass(frozen=True)
class Answer:
    """What a command printed, and the code that it left with."""

    code: int
    printed: str


def run(settings: Settings, *command: str) -> Answer:
    """A command in this process: starting one takes seconds."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
        patch.setattr(os, "environ", environment(settings))
        with pytest.raises(SystemExit) as left:
            main(command)
    assert isinstance(left.value.code, int)
    for secret in (OLD, NEW, RAW_OLD, RAW_NEW):
        assert secret not in printed.getvalue()
    return Answer(left.value.code, printed.getvalue())


def done(settings: Settings, *command: str) -> None:
    answer = run(settings, *command)
    assert answer.code == 0, answer.printed


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The online shop under the old keys, up to the online rows, with one customer erased. Copy its home; keep it."""
    folder = tmp_path_factory.mktemp("shop")
    with running(Settings(home=folder / "server")) as server:
        settings = Settings(
            home=folder / "home",
            redis_url=server.redis_url,
            mapping=EXAMPLE / "motherlode.yaml",
            pseudonym_key=OLD,
            raw_key=RAW_OLD,
        )
        for command in ("ingest", "features", "materialize"):
            done(settings, command)
        store.erase(settings, [ERASED])
        yield settings


@pytest.fixture
def shop(built: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A home of one's own, and the rows in Redis as they were at first."""
    shutil.copytree(built.home, tmp_path / "home")
    with connect(built) as client:
        rows = {key: (client.dump(key), client.pttl(key)) for key in client.scan_iter("*")}
        yield replace(built, home=tmp_path / "home")
        client.flushall()
        for key, (row, ttl) in rows.items():
            client.restore(key, max(ttl, 0), row)


def statuses(settings: Settings, outside: list[str]) -> list[int]:
    """What serving finds of customers by their outside ids, in one view."""
    now, *before = ([entity_text((key,)) for key in keys] for keys in settings.identity.every_join_key_of(outside))

    async def ask() -> list[int]:
        client = connect_async(settings)
        reader = AsyncOnlineReader(client, settings.project, [ViewRequest(names.RFM, (), None)])
        rows = await reader.read(now, before=before)
        await client.aclose()
        return [int(status) for status in rows[names.RFM].status]

    return asyncio.run(ask())


def customers_of(client: redis.Redis, settings: Settings) -> set[str]:
    """The join keys that have rows."""
    return {key.decode().split("}")[1] for key in client.scan_iter(f"{settings.project}/{names.RFM}/*")}


def known_by(settings: Settings) -> set[str]:
    """Every customer id in the warehouse, of all tables, and of the mart."""
    frames = [*tables.scan_all(settings).values(), *map(pl.scan_parquet, settings.mart.glob("*.parquet"))]
    of_customers = [frame.select(names.CUSTOMER_ID) for frame in frames if names.CUSTOMER_ID in frame.collect_schema()]
    return set(pl.concat(of_customers).unique().collect()[names.CUSTOMER_ID].drop_nulls())


def assert_ended(settings: Settings, outside: list[str], before: list[int]) -> None:
    """The new key alone knows everybody, and the old one nobody."""
    alone = replace(settings, previous_pseudonym_keys=())
    assert state.read(alone).key_ids == (Identity(NEW).key_id,)
    assert statuses(alone, outside) == before
    old, new = set(Identity(OLD).join_keys_of(outside)), set(Identity(NEW).join_keys_of(outside))
    assert known_by(alone) <= new
    with connect(alone) as client:
        assert customers_of(client, alone) <= new
    for path in (path for path in alone.home.rglob("*") if path.is_file() and path.suffix != ".parquet"):
        if path.name != audit.LOG:  # where the erasure was recorded
            assert not any(key.encode() in path.read_bytes() for key in old), path
    assert {each.action for each in audit.read(alone)} >= {"load", "erase", "rekey"}


def test_a_new_key_without_the_old_one_is_refused_with_the_remedy(shop: Settings) -> None:
    changed = replace(shop, pseudonym_key=NEW)
    for command in ("ingest", "rekey"):
        answer = run(changed, command)
        assert answer.code == 1
        assert "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS" in answer.printed
    answer = run(shop, "rekey")
    assert answer.code == 1
    assert "motherlode keys new" in answer.printed


def test_after_a_re_key_the_old_key_knows_nobody(shop: Settings) -> None:
    outside = [str(each) for each in tables.outside_ids(shop)[names.OUTSIDE_ID]]
    before = statuses(shop, outside)
    assert statuses(shop, [ERASED]) == [Status.UNKNOWN]
    assert before.count(Status.PRESENT) > 100
    both = replace(shop, pseudonym_key=NEW, previous_pseudonym_keys=(OLD,))
    assert statuses(both, outside) == before, "from the first moment on both keys resolve"
    done(both, "rekey")
    assert_ended(both, outside, before)
    assert run(both, "rekey").code == 1, "there is nothing more to do"
    done(replace(both, previous_pseudonym_keys=()), "ingest")
    assert audit.verify(replace(both, previous_pseudonym_keys=())) >= 4


def test_a_killed_re_key_leaves_everybody_known_and_is_run_again(shop: Settings) -> None:
    outside = [str(each) for each in tables.outside_ids(shop)[names.OUTSIDE_ID]]
    before = statuses(shop, outside)
    both = replace(shop, pseudonym_key=NEW, previous_pseudonym_keys=(OLD,))
    new = set(both.identity.join_keys_of(outside))
    job = subprocess.Popen(
        [COMMAND, "rekey"], env=environment(both), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 100
        with connect(both) as client:
            while not customers_of(client, both) & new and time.monotonic() < until:
                time.sleep(0.01)
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    assert state.read(both).key_ids == both.identity.key_ids, "killed between its load and its end"
    assert statuses(both, outside) == before
    audit.verify(both)
    done(both, "rekey")
    assert_ended(both, outside, before)


def test_what_is_withdrawn_while_names_change_is_withdrawn_under_the_new_ones(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = replace(shop, pseudonym_key=NEW, previous_pseudonym_keys=(OLD,))
    outside = [str(each) for each in tables.outside_ids(shop)[names.OUTSIDE_ID].head(2)]
    now, before = ([entity_text((key,)) for key in keys] for keys in both.identity.every_join_key_of(outside))
    people.publish(shop, [before])

    def withdrawing(rename: Callable[..., int]) -> Callable[..., int]:
        """A server takes a withdrawal by the first one's id, once names of that kind are changed."""

        def renamed(*arguments: Any) -> int:
            affected = rename(*arguments)
            said = Word(now[0], "marketing", granted=False, at=1_763_000_000_000)
            Ledger(both).add(People(both).words(said, [now[0], before[0]]))
            return affected

        return renamed

    for module in (consent, people):
        monkeypatch.setattr(module, "rename", withdrawing(module.rename))
    done(both, "rekey")
    assert {customer for customer, _ in Ledger(both).standing()} == {*now}


def test_raw_goes_under_a_new_key(shop: Settings) -> None:
    both = replace(shop, raw_key=RAW_NEW, previous_raw_key=RAW_OLD)
    done(both, "rekey", "--raw")
    new = replace(shop, raw_key=RAW_NEW)
    assert {vault.key_id_of(path) for path in new.raw.rglob("*.parquet")} == {vault.key_id(RAW_NEW)}
    loads = len(state.read(new).loads)
    done(new, "ingest")
    assert len(state.read(new).loads) == loads, "the same files twice change nothing"
    assert run(shop, "ingest").code == 1


def test_the_command_explains_what_to_set_first(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rekey", "--help"])
    assert "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS" in capsys.readouterr().out
