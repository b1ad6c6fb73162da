"""Newest wins and an erased customer stays away, whoever writes when, against a real Valkey."""

import itertools
import random
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import redis

from motherlode.errors import SchemaError
from motherlode.online.keys import entity_text, of_key, row_key, schema_key
from motherlode.online.reader import now_us
from motherlode.online.writer import Target, Written, stored_schemas
from motherlode.packed import FORMAT_VERSION, HEADER_SIZE, Column, Schema, Status
from motherlode.packed.header import FORM

if TYPE_CHECKING:
    from tests.motherlode.online.conftest import Rows

OWNED = Target("v", owned=True)
INDEXED = Target("v", owned=True, indexed=True)
ITEMS = Target("v")


def test_newest_event_wins_in_every_order_and_created_breaks_ties(rows: "Rows") -> None:
    writes = [(1, 10, 5), (2, 20, 1), (3, 20, 2), (4, 19, 9)]
    for i, order in enumerate(itertools.permutations(writes)):
        for x, event, created in order:
            rows.write([str(i)], x, event, created)
        assert rows.read(str(i)) == [3]


def test_times_are_compared_to_the_last_bit(rows: "Rows") -> None:
    """A Lua number holds 53 bits of the 64."""
    extremes = [-(2**63), -(2**40) - 1, -1, 0, 1, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1]
    for i, (older, newer) in enumerate(itertools.pairwise(extremes)):
        for times in ((lambda t: (t, 0)), (lambda t: (7, t))):
            for first, second in ((older, newer), (newer, older)):
                entity = f"{i} {times(older)} {first}"
                rows.write([entity], 1 if first == newer else 0, *times(first))
                rows.write([entity], 1 if second == newer else 0, *times(second))
                assert rows.read(entity) == [1], (older, newer)


def test_a_row_of_another_format_is_replaced_whatever_its_times_are(client: redis.Redis, rows: "Rows") -> None:
    """An earlier format had other things where this one has its times, so they say nothing."""
    newest = rows.pack(1, 2**62, 2**62)
    entities = [str(i) for i in range(40)]
    for i, entity in enumerate(entities):
        former = bytearray(newest)
        former[FORM] = FORMAT_VERSION - 1
        # Rows, cut ones, and none between them: the script guesses from the row before how to look.
        there = (bytes(former), newest, None, bytes(former[:HEADER_SIZE]), b"")[i % 5]
        if there is not None:
            client.set(row_key("p", "v", entity), there)
    assert rows.write(entities, 7, 10) == Written(32, 0)
    assert rows.read(*entities) == [1 if i % 5 == 1 else 7 for i in range(40)]
    assert rows.write(entities[:1], 6, 9) == Written(0, 0), "from then on the newest wins"


def test_a_schema_whose_fingerprint_another_has_is_refused(client: redis.Redis, rows: "Rows") -> None:
    first, second = (Schema("v", (Column(name, "int64"),)) for name in ("x71", "x46947"))
    assert first.fingerprint == second.fingerprint
    rows.writer.declare(first, OWNED)
    rows.writer.declare(first, OWNED)
    with pytest.raises(SchemaError, match=f"have the schema fingerprint {first.fingerprint:08x}"):
        rows.writer.declare(second, OWNED)
    assert stored_schemas(client, "p", ["v"]) == {"v": first}
    assert client.get(schema_key("p", first.fingerprint)) == first.to_json()


def test_a_schema_in_other_json_is_the_same_schema(client: redis.Redis, rows: "Rows") -> None:
    key = schema_key("p", rows.schema.fingerprint)
    client.set(key, msgspec.json.format(rows.schema.to_json(), indent=2))
    rows.writer.declare(rows.schema, OWNED)
    assert stored_schemas(client, "p", ["v"]) == {"v": rows.schema}


def test_a_damaged_schema_is_declared_anew(client: redis.Redis, rows: "Rows") -> None:
    for damaged in (b"", b"{", Schema("w", ()).to_json()):
        client.set(schema_key("p", rows.schema.fingerprint), damaged)
        rows.writer.declare(rows.schema, OWNED)
        assert client.get(schema_key("p", rows.schema.fingerprint)) == rows.schema.to_json()


def test_what_became_of_rows_is_told(rows: "Rows") -> None:
    assert rows.write(["a", "b"], 1, 10) == Written(2, 0)
    assert rows.write(["a", "b", "c"], 2, 5) == Written(1, 0)
    rows.writer.erase("b", 1)
    assert rows.write(["a", "b", "c"], 3, 20) == Written(2, 1)
    assert rows.write([], 1, 1) == Written(0, 0)


def test_a_batch_of_new_older_and_newer_rows_in_any_order_to_two_generations(client: redis.Redis, rows: "Rows") -> None:
    """The script guesses from the row before whether one lies there: it may guess wrong."""
    draw = random.Random(7)
    entities = [str(i) for i in range(200)]
    lying: dict[tuple[int, str], int] = {}
    for generation in (0, 1):
        for entity in entities:
            if draw.random() < 0.5:
                event = lying[generation, entity] = draw.choice([5, 15])
                rows.write([entity], event, event, target=Target("v", True, False, (generation,)))
    forget = np.array([draw.choice([0, 1_800_000_000_000, 1_999_999_999_999]) for _ in entities])
    forget[forget > 0] += now_us() // 1000
    written = rows.writer.write(Target("v", True, False, (0, 1)), entities, [rows.pack(10, 10)] * 200, forget)
    assert written == Written(sum(lying.get((0, entity), 0) < 10 for entity in entities), 0)
    for generation in (0, 1):
        for entity, at in zip(entities, forget.tolist(), strict=True):
            key, event = row_key("p", "v", entity, generation), lying.get((generation, entity), 0)
            assert client.get(key) == rows.pack(max(event, 10), max(event, 10))
            assert client.pexpiretime(key) == (at or -1 if event < 10 else -1)


def test_the_key_is_freed_only_when_told(client: redis.Redis, rows: "Rows") -> None:
    later = now_us() // 1000 + 60_000
    entities, row = ["a", "b", "c"], rows.pack(1, 1)
    rows.writer.write(OWNED, entities, [row] * 3, np.array([later, 0, -5]))
    assert client.pexpiretime(row_key("p", "v", "a")) == later
    assert client.pexpiretime(row_key("p", "v", "b")) == -1
    assert not client.exists(row_key("p", "v", "c"))


def test_the_stored_schema_is_the_last_declared(client: redis.Redis, rows: "Rows") -> None:
    assert stored_schemas(client, "p", ["w", "v"]) == {"w": None, "v": rows.schema}
    assert stored_schemas(client, "p", []) == {}


@pytest.mark.parametrize("n", [1, 999, 1000, 1001, 2500])
def test_every_row_of_a_batch_arrives_whatever_its_size(client: redis.Redis, rows: "Rows", n: int) -> None:
    entities = [str(i) for i in range(n)]
    packed = [rows.pack(i, 1) for i in range(n)]
    later = np.arange(n, dtype=np.int64) + now_us() // 1000 + 10**6
    assert rows.writer.write(OWNED, entities, packed, later) == Written(n, 0)
    assert rows.read(*entities) == list(range(n))
    at = random.Random(n).randrange(n)
    assert client.pexpiretime(row_key("p", "v", str(at))) == later[at], "each row has its own time to go"


# ------------------------------------------------------------------ erasure


@pytest.mark.parametrize("target", [OWNED, INDEXED])
def test_an_erased_customer_does_not_come_back(rows: "Rows", target: Target) -> None:
    entities = ["1", "2"] if target is OWNED else [entity_text(["1", "x"]), entity_text(["2", "x"])]
    rows.write(entities, 7, 10, target=target)
    rows.write(entities, 7, 10, target=Target("v", target.owned, target.indexed, (3,)))
    assert rows.writer.erase("1", 5) == 2, "a row in each generation"
    assert rows.write(entities, 9, now_us() + 10**12, target=target) == Written(1, 1)
    assert rows.look(*entities).status.tolist() == [Status.UNKNOWN, Status.PRESENT]
    assert rows.writer.erased(["1", "2"]) == [True, False]


def test_no_clear_id_of_an_erased_customer_is_left_in_the_server(client: redis.Redis, rows: "Rows") -> None:
    who = "anna@example.com"
    rows.write([who], 1, 10)
    rows.write([entity_text([who, "x"]), entity_text([who, "y"])], 1, 10, target=INDEXED)
    rows.writer.erase(who, 5)
    rows.write([who], 1, 20)
    for key in client.scan_iter("*"):
        kept: Any = client.dump(key)
        assert who.encode() not in key + kept


def test_a_row_of_nobody_is_written_where_somebody_was_erased(rows: "Rows") -> None:
    rows.writer.erase("1", 5)
    assert rows.write(["1"], 7, 10, target=ITEMS) == Written(1, 0)


def test_removed_customers_may_come_again_and_others_stay(client: redis.Redis, rows: "Rows") -> None:
    rows.write([str(n) for n in range(50)], 1, 10)
    rows.write([entity_text([str(n), "x"]) for n in range(50)], 1, 10, target=INDEXED)
    assert rows.writer.remove([str(n) for n in range(49)]) == 98
    kept = {row_key("p", "v", "49"), row_key("p", "v", entity_text(["49", "x"])), of_key("p", "49")}
    assert {key.decode() for key in client.scan_iter("p/*{*")} == kept
    assert rows.write(["3"], 1, 10) == Written(1, 0)
    assert rows.writer.remove([]) == 0
    assert rows.writer.erased([]) == []


def test_erasing_looks_for_no_key(client: redis.Redis, rows: "Rows") -> None:
    for n in range(3):
        rows.write(["1"], 1, 10, target=Target(f"v{n}", owned=True))
    client.config_resetstat()
    rows.writer.erase("1", 5)
    stats: Any = client.info("commandstats")
    assert {"cmdstat_scan", "cmdstat_keys"}.isdisjoint(stats)
    assert sum(stats[name]["calls"] for name in ("cmdstat_hset", "cmdstat_smembers", "cmdstat_evalsha")) <= 5
