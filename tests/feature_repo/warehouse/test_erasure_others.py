"""What an erasure does to others: who is one person with them, who names them, and what the company wrote."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.warehouse import erasure, events, lineage, pipeline, state, tables, vault
from feature_repo.warehouse.mapping.read import read
from motherlode import names
from motherlode.settings import Settings
from tests.feature_repo.warehouse.forgetting import BIRD, COOKIE, FILES, GONE, PEOPLE, TILL, Shop, shop, traces


def test_who_was_found_to_be_one_person_is_told_and_stays(tmp_path: Path) -> None:
    twins = shop(tmp_path)
    twins.write(
        {
            "people.csv": (
                "no,since,mail,town,name",
                *(f"K{i},2024-01-01,p{i}@example.org,Ulm,Person {i}" for i in range(2000, 2060)),
                "K3001,2024-01-01,anna.berg@example.org,Ulm,Anna Berg",
                "K3002,2024-01-01,anna.berg@example.org,Ulm,Anna Berg",
            ),
            "till.csv": (
                TILL[0],
                "K3001,R1,1,TEA,3.90,2025-01-07T10:00:00,",
                "K3002,R2,1,CUP,9.00,2025-01-08T10:00:00,",
            ),
            **{name: FILES[name][:2] for name in ("orders.csv", "lines.csv", "reviews.csv", "survey.csv")},
            "events.jsonl": FILES["events.jsonl"][:1],
        }
    )
    mapping = twins.folder / "motherlode.yaml"
    mapping.write_text(mapping.read_text() + "matching: { columns: { name: name, email: mail } }\n")
    twins.load()
    assert erasure.person(twins.settings, ["K3001"]) == ["K3001", "K3002"]
    assert erasure.join_keys(twins.settings, ["K3002"]) == {"K3001", "K3002"}
    assert erasure.join_keys(twins.settings, ["K3002"], merged=False) == {"K3002"}
    erasure.erase(twins.settings, ["K3001"])
    assert traces(twins.settings, ("K3001",)) == []
    bought = tables.scan(twins.settings, names.TRANSACTIONS).select(names.CUSTOMER_ID, names.BASKET_ID).collect()
    assert ("K3002", "R2") in bought.rows() and "R1" not in bought[names.BASKET_ID]
    assert erasure.person(twins.settings, ["K3002"]) == ["K3002"]


@pytest.mark.parametrize("load_first", [False, True], ids=["before a load", "after a load"])
def test_live_events_go_too(keyed: Shop, *, load_first: bool) -> None:
    rows: list[dict[str, object]] = [
        {"position": 1, "customer_id": BIRD, "visitor_id": COOKIE, "event_type": "view", "page": "/live"},
        {"position": 2, "customer_id": None, "visitor_id": COOKIE, "event_type": "view", "page": "/live-too"},
        {"position": 3, "customer_id": "K1001", "visitor_id": "c1", "event_type": "view", "page": "/kept"},
    ]
    at = datetime(2026, 1, 2, tzinfo=UTC)
    table = pa.Table.from_pylist([{**row, "event_timestamp": at} for row in rows], schema=events.SCHEMA)
    segment = events.write(keyed.settings, table)
    if load_first:
        keyed.load()
    keyed.forget()
    assert traces(keyed.settings, (*GONE, *erasure.join_keys(keyed.settings, [BIRD]))) == []
    assert [segment.path] == [each.path for each in events.segments(keyed.settings)]
    keyed.load()
    pages = set(tables.scan(keyed.settings, names.INTERACTIONS).select("page").collect()["page"])
    assert "/kept" in pages and not pages & {"/live", "/live-too"}
    assert lineage.current(keyed.settings).balanced


def test_a_number_is_taken_out_of_columns_that_are_the_customers_alone(tmp_path: Path) -> None:
    numbers = shop(tmp_path)
    numbers.write(
        {
            **{name: lines[:2] for name, lines in FILES.items()},
            "till.csv": (
                TILL[0],
                "7,R7,7,TEA,7,2025-01-07T10:00:00,7",
                "8,R8,7,TEA,7,2025-01-07T10:00:00,7 cups for 7",
            ),
        }
    )
    numbers.load()
    erasure.erase(numbers.settings, ["7"])
    till = next(each for each in state.read(numbers.settings).raw if each.source == "till")
    left = vault.reader(numbers.settings.home / till.path, numbers.settings).read().to_pylist()
    assert [(row["card"], row["money"], row["note"]) for row in left] == [("8", "7", "7 cups for 7")]


def test_what_the_company_wrote_is_told_and_what_was_refused_forgets(keyed: Shop) -> None:
    mapping = keyed.folder / "motherlode.yaml"
    mapping.write_text(mapping.read_text() + f"# {BIRD} tests this\n")
    (keyed.folder / "people3.csv").write_text("\n".join(PEOPLE[2:3] + PEOPLE[1:2]) + "\n")  # without its header
    refused = keyed.load().refused
    assert [BIRD in f"{each.problem} {each.remedy}" for each in refused] == [True]
    erasure.erase(keyed.settings, [BIRD])
    found = erasure.find(keyed.settings, [BIRD])
    assert [(place.name, place.rows) for place in found] == [("mapping", 1)]
    left = traces(keyed.settings, (*GONE, *erasure.join_keys(keyed.settings, [BIRD])))
    assert [Path(each.split(": ")[0]).parent.name for each in left] == ["lineage"]
    (keyed.folder / "people3.csv").unlink()
    assert not keyed.load().changed


def test_a_segment_that_was_erased_from_before_is_made_anew_for_a_mention_alone(keyed: Shop) -> None:
    """Its rows stay as many then."""
    second = "CANARY-SECOND-2"
    rows = [
        {"position": n, "customer_id": "K1001", "visitor_id": "c1", "event_type": "view", "page": f"/by/{who}"}
        for n, who in enumerate((BIRD, second), 1)
    ]
    at = datetime(2026, 1, 2, tzinfo=UTC)
    table = pa.Table.from_pylist([{**row, "event_timestamp": at} for row in rows], schema=events.SCHEMA)
    events.write(keyed.settings, table)
    keyed.load()
    for who in (BIRD, second):
        erasure.erase(keyed.settings, [who])
        assert traces(keyed.settings, (who,)) == []
    pages = set(tables.scan(keyed.settings, names.INTERACTIONS).select("page").collect()["page"])
    assert "/by/(erased)" in pages


@pytest.mark.parametrize("dtype", [pa.int64(), pa.uint32(), pa.float64(), pa.decimal128(24, 2)], ids=str)
def test_an_id_of_many_digits_goes_from_others_columns_of_numbers(tmp_path: Path, dtype: pa.DataType) -> None:
    project, settings = tmp_path / "shop", Settings(home=tmp_path / "home")
    project.mkdir()
    (project / "motherlode.yaml").write_text(
        "company: A shop\nprivacy: {pseudonym: none}\nsources: {people: {files: people*.parquet}}\n"
        "tables: {customers: {from: people, columns: {customer_id: no, by: {from: by, type: number, class: quasi}}}}\n"
    )
    by = pa.array([None, 900000049, 900000048]).cast(dtype)
    pq.write_table(pa.table({"no": [900000049, 900000050, 900000051], "by": by}), project / "people.parquet")
    pipeline.load(settings, read(project))
    erasure.erase(settings, ["900000049"])
    (landed,) = state.read(settings).raw
    left = vault.reader(settings.home / landed.path, settings).read().to_pylist()
    assert [(row["no"], row["by"]) for row in left] == [(900000050, None), (900000051, 900000048)]
    assert erasure.find(settings, ["900000049"]) == []
