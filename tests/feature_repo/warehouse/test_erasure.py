"""A customer who asks to be forgotten is in no file of the warehouse, and does not come back."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from feature_repo.warehouse import erasure, events, lineage, pipeline, state, tables, vault
from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import read
from feature_repo.warehouse.quality import report
from feature_repo.warehouse.quality.measure import measure
from motherlode import audit, names
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings

BIRD = "CANARY-7F3A91"
MAIL = "tweety@example.net"
COOKIE = "cookie-of-the-bird"
GONE = (BIRD, MAIL, COOKIE, "Tweety", "ORD-BIRD", "visit-bird")
AT = datetime(2026, 1, 1, tzinfo=UTC)

MAPPING = """
version: 1
company: A corner shop
time_zone: Europe/Berlin
privacy: {{ pseudonym: {pseudonym} }}
quality: {{ customers: {{ fail: 1 }}, transactions: {{ fail: 1 }}, interactions: {{ fail: 1 }} }}
sources:
  people: {{ files: "people*.csv" }}
  orders: {{ files: "orders*.csv" }}
  lines: {{ files: "lines*.csv" }}
  till: {{ files: "till*.csv" }}
  events: {{ files: "events*.jsonl" }}
  reviews: {{ files: "reviews*.csv" }}
  survey: {{ files: "survey*.csv" }}
tables:
  customers:
    from: people
    columns:
      customer_id: no
      registered_at: {{ from: since, format: "%Y-%m-%d" }}
      mail: {{ from: mail, type: string, class: identifier }}
      town: {{ from: town, type: string, class: quasi }}
  transactions:
    - from: lines
      join: [{{ source: orders, on: order_no }}]
      key: [basket_id, line_id]
      columns:
        customer_id: orders.customer
        basket_id: order_no
        line_id: line
        item_id: item
        amount: money
        event_timestamp: orders.ordered_at
    - from: till
      key: [basket_id, line_id]
      columns:
        customer_id: {{ sql: "upper(trim(card))" }}
        basket_id: receipt
        line_id: line
        item_id: item
        amount: money
        event_timestamp: sold
  interactions:
    from: events
    columns:
      customer_id: user
      visitor_id: cookie
      session_id: visit
      event_type: kind
      page: page
      event_timestamp: at
  feedback:
    from: reviews
    columns: {{ customer_id: who, text: words, event_timestamp: at }}
"""

PEOPLE = (
    "no,since,mail,town,name",
    "K1001,2024-01-01,anna@example.org,Ulm,Anna",
    f"{BIRD},2024-01-02,{MAIL},Lindau,Tweety",
    "K1002,2024-01-03,max@example.org,Ulm,Max",
    f"{BIRD},a day,{MAIL},Lindau,Tweety",  # into quarantine
    f"{BIRD},2024-01-09,{MAIL},Lindau,Tweety,one,too,many",  # a line that is no row
    "K1003,2024-02-30,eva@example.org,Ulm,Eva",
)
ORDERS = (
    "order_no,customer,ordered_at",
    "ORD-1,K1001,2025-01-05T10:00:00",
    f"ORD-BIRD,{BIRD},2025-01-06T10:00:00",
    "ORD-3,K1002,2025-02-05T10:00:00",
)
LINES = (
    "order_no,line,item,money",
    "ORD-1,1,TEA,3.90",
    "ORD-1,2,CUP,9.00",
    "ORD-BIRD,1,SEED,2.50",
    "ORD-BIRD,2,SEED,much",  # into quarantine
    "ORD-3,1,TEA,3.90",
)
TILL = (
    "card,receipt,line,item,money,sold,note",
    "k1001,R1,1,TEA,3.90,2025-01-07T10:00:00,",
    f" {BIRD.lower()} ,R2,1,SEED,2.50,2025-03-07T10:00:00,",
    f"K1002,R3,1,CUP,9.00,2025-03-08T10:00:00,paid for {BIRD}",
)


def event(user: str | None, cookie: str | None, visit: str | None, page: str, at: str) -> str:
    """A line of the web's log."""
    return json.dumps({"user": user, "cookie": cookie, "visit": visit, "kind": "view", "page": page, "at": at})


EVENTS = (
    event("K1001", "c1", None, "/a", "2025-01-07T10:00:00"),
    event(BIRD, COOKIE, None, "/b", "2025-01-07T11:00:00"),
    event(None, COOKIE, None, "/c", "2025-01-09T11:00:00"),  # by the cookie, which is nobody else's
    event(BIRD, "shared", None, "/d", "2025-01-10T11:00:00"),
    event(None, "shared", None, "/e", "2025-01-10T11:01:00"),  # by the visit
    event("K1002", "shared", None, "/f", "2025-01-20T11:01:00"),
    event(None, "shared", None, "/g", "2025-01-20T11:02:00"),
    event(BIRD, None, "visit-bird", "/h", "2025-02-10T11:00:00"),
    event(None, None, "visit-bird", "/i", "2025-02-10T11:01:00"),  # by the session's id
)
REVIEWS = (
    "who,words,at",
    "K1001,Lovely tea,2025-01-08T10:00:00",
    f"{BIRD},Too few seeds,2025-01-08T11:00:00",
    f"K1002,I know {BIRD} well,2025-01-08T12:00:00",
)
SURVEY = ("no,answer", "K1001,yes", f"{BIRD},yes")
FILES = {
    "people.csv": PEOPLE,
    "orders.csv": ORDERS,
    "lines.csv": LINES,
    "till.csv": TILL,
    "events.jsonl": EVENTS,
    "reviews.csv": REVIEWS,
    "survey.csv": SURVEY,
}
BIRDS_PAGES = ("/b", "/c", "/d", "/e", "/h", "/i")
MENTIONS = {f"paid for {BIRD}": "paid for (erased)", f"I know {BIRD} well": "I know (erased) well"}


@dataclass
class Shop:
    """A shop's files, and its warehouse."""

    folder: Path
    settings: Settings
    pseudonym: str = "none"

    def write(self, files: dict[str, tuple[str, ...]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "motherlode.yaml").write_text(MAPPING.format(pseudonym=self.pseudonym))
        for name, lines in files.items():
            (self.folder / name).write_text("\n".join(lines) + "\n")

    def load(self) -> Lineage:
        found = pipeline.load(self.settings, read(self.folder))
        assert found.balanced, found.tables
        return found

    def forget(self) -> None:
        found = erasure.tombstones(self.settings, [BIRD], AT, "certificate")
        Tombstones(self.settings).add(found)
        erasure.erase(self.settings, [BIRD])


def shop(folder: Path, **settings: str) -> Shop:
    return Shop(
        folder / "shop",
        Settings(home=folder / "home", **settings),  # type: ignore[arg-type]
        "hmac-sha256" if "pseudonym_key" in settings else "none",
    )


KEYED = {"pseudonym_key": "the pseudonym key of the shop", "raw_key": "the key of all of raw"}


Build = Callable[[bool, bool], Shop]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The shop, loaded: keyed or not, with the bird or as if it had never known it. Copy it; don't change it."""

    @cache
    def built(keyed: bool, with_bird: bool) -> Shop:
        made = shop(tmp_path_factory.mktemp("built"), **(KEYED if keyed else {}))
        made.write(FILES if with_bird else {name: tuple(_silent(lines)) for name, lines in FILES.items()})
        made.load()
        if with_bird:
            report.write(measure(made.settings), made.settings.home / "quality" / report.PAGE)
        return made

    return built


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def home(request: pytest.FixtureRequest, build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop with everybody, without keys and with them."""
    return _copy(build(request.param, True), tmp_path / "copy")


@pytest.fixture
def keyed(build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop with everybody, under keys."""
    return _copy(build(True, True), tmp_path / "copy")


@pytest.fixture
def without(request: pytest.FixtureRequest, build: Build, tmp_path: Path) -> Shop:
    """A copy of the shop that never knew the bird, with the keys of the other."""
    other = "home" if "home" in request.fixturenames else "keyed"
    return _copy(build(request.getfixturevalue(other).pseudonym != "none", False), tmp_path / "without")


def _copy(made: Shop, folder: Path) -> Shop:
    shutil.copytree(made.folder.parent, folder)
    return Shop(folder / "shop", _moved(made.settings, folder / "home"), made.pseudonym)


def _silent(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        for mention, said in MENTIONS.items():
            line = line.replace(mention, said)
        if not any(word.lower() in line.lower() for word in (*GONE, *(f'"{page}"' for page in BIRDS_PAGES))):
            yield line


def _moved(settings: Settings, home: Path) -> Settings:
    return Settings(home=home, pseudonym_key=settings.pseudonym_key, raw_key=settings.raw_key)


def texts(settings: Settings, path: Path) -> Iterator[str]:
    """Every text of a file: its bytes, and a Parquet file's cells, raw ones decrypted."""
    content = path.read_bytes()
    yield content.decode("latin-1")
    if path.suffix == ".parquet":
        with vault.reader(path, settings) as file:
            table = file.read()
        yield str(table.schema)
        for column in table.columns:
            yield "\n".join(map(str, column.unique().to_pylist()))


def traces(settings: Settings, words: tuple[str, ...]) -> list[str]:
    """Where a word stands, in whatever case."""
    pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)
    paths = [path for path in sorted(settings.home.rglob("*")) if path.is_file()]
    return [
        f"{path}: {found[0]}" for path in paths for text in texts(settings, path) if (found := pattern.search(text))
    ]


def integrated(settings: Settings) -> dict[str, pl.DataFrame]:
    """Every table's rows, in an order of their own."""
    return {
        name: (rows := scan.collect()).sort(rows.columns) if scan.collect_schema() else scan.collect()
        for name, scan in tables.scan_all(settings).items()
    }


def assert_same(one: Settings, other: Settings) -> None:
    """Two warehouses' integrated tables are equal but for when their rows were landed."""
    others = integrated(other)
    for name, rows in integrated(one).items():
        left = [column for column in rows.columns if column not in (names.CREATED_TIMESTAMP, "_landed_at")]
        assert_frame_equal(rows.select(left).sort(left), others[name].select(left).sort(left))


def test_no_byte_of_the_home_knows_who_was_erased(home: Shop, without: Shop) -> None:
    words = (*GONE, *erasure.join_keys(home.settings, [BIRD]))
    assert len(traces(home.settings, words)) > 10
    home.forget()
    assert traces(home.settings, words) == []
    assert_same(home.settings, without.settings)
    assert lineage.current(home.settings).balanced
    assert audit.verify(home.settings) > 2
    assert erasure.find(home.settings, [BIRD]) == []


def test_what_would_go_is_told_without_touching_anything(home: Shop) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        found = (path for path in home.settings.home.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = stamps()
    found = erasure.find(home.settings, [BIRD])
    assert stamps() == before
    rows = {name: sum(place.rows for place in found if place.name == name) for name in {it.name for it in found}}
    assert rows["raw"] == 3 + 1 + 2 + 1 + 6 + 1 + 1 + len(MENTIONS)
    assert rows["identities"] == 1
    assert rows["quarantine"] == 4
    assert {"raw", "identities", "clean", "quarantine", "integrated"} == rows.keys()
    erased = erasure.erase(home.settings, [BIRD])
    assert {(place.name, place.path) for place in erased} == {(place.name, place.path) for place in found}
    assert all(place.sha256_after != place.sha256_before for place in erased)


def test_every_raw_file_that_was_written_anew_is_in_the_log_with_both_hashes(keyed: Shop) -> None:
    before = {each.order: each for each in state.read(keyed.settings).raw}
    keyed.forget()
    logged = [entry for entry in audit.read(keyed.settings) if entry.action == erasure.ACTION]
    told = {entry.subject: (entry.details.get("sha256_before"), entry.details.get("sha256")) for entry in logged}
    for each in state.read(keyed.settings).raw:
        assert told[each.path] == (before[each.order].sha256_raw, each.sha256_raw)
        assert not (keyed.settings.home / before[each.order].path).exists()
        assert each.erased == before[each.order].rows - each.rows > 0


def test_the_next_load_finds_nothing_to_do(keyed: Shop) -> None:
    keyed.forget()
    before = (keyed.settings.home / state.STATE).read_bytes()
    assert not keyed.load().changed
    assert (keyed.settings.home / state.STATE).read_bytes() == before


def test_a_new_delivery_does_not_bring_them_back(home: Shop, without: Shop) -> None:
    home.forget()
    fresh = {
        "people2.csv": (*PEOPLE, "K1004,2024-05-01,udo@example.org,Bonn,Udo"),
        "orders2.csv": (*ORDERS, f"ORD-BIRD-2,{BIRD},2025-05-06T10:00:00", "ORD-5,K1004,2025-05-06T11:00:00"),
        "lines2.csv": (*LINES, "ORD-BIRD-2,1,SEED,2.50", "ORD-5,1,TEA,3.90"),
        "till2.csv": (*TILL[:3], "K1004,R9,1,TEA,3.90,2025-05-07T10:00:00,"),
        "events2.jsonl": (*EVENTS[:3], *EVENTS[7:]),
        "survey2.csv": SURVEY,
    }
    home.write(fresh)
    without.write({name: tuple(_silent(lines)) for name, lines in fresh.items()})
    assert home.load().changed
    without.load()
    assert_same(home.settings, without.settings)
    assert traces(home.settings, (*GONE, *erasure.join_keys(home.settings, [BIRD]))) == []
    landed = {each.name: each for each in state.read(home.settings).raw}
    assert landed["people2.csv"].erased == 3
    assert landed["lines2.csv"].erased == 3
    assert landed["events2.jsonl"].erased == 4
    assert lineage.current(home.settings).balanced


def test_the_same_file_read_otherwise_does_not_bring_them_back(keyed: Shop) -> None:
    keyed.forget()
    mapping = keyed.folder / "motherlode.yaml"
    mapping.write_text(mapping.read_text().replace('"till*.csv"', '"till*.csv", delimiter: ","'))
    assert keyed.load().changed
    assert BIRD.lower() not in str(tables.scan(keyed.settings, names.TRANSACTIONS).collect().to_dicts()).lower()
    till = next(each for each in state.read(keyed.settings).raw if each.source == "till" and each.status == "active")
    assert till.erased == 1


POINTS = {"rewrite.rewrite": 2, "audit.record": 2, "state.write": 1, "sweep.sweep": 1}
"""A function, and the call of it after which the process is killed."""
KILL = """
import os, signal, sys
from pathlib import Path
from feature_repo.warehouse import erasure
from motherlode.settings import Settings
folder, key, raw_key, bird, *points = sys.argv[1:]
for point, number in zip(points[::2], map(int, points[1::2])):
    child = os.fork()  # one process imports for all of them
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
        continue
    module, function = point.split(".")
    holder, left = getattr(erasure, module), list(range(number))
    plain = getattr(holder, function)
    def last(*args, **options):
        found = plain(*args, **options)
        left.pop()
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(holder, function, last)
    settings = Settings(home=Path(folder) / point / "home", pseudonym_key=key, raw_key=raw_key)
    erasure.erase(settings, [bird])
    os._exit(0)
"""


def test_killed_wherever_it_ends_the_same(keyed: Shop, without: Shop, tmp_path: Path) -> None:
    for point in POINTS:
        shutil.copytree(keyed.folder.parent, tmp_path / point)
    points = [str(each) for pair in POINTS.items() for each in pair]
    command = [sys.executable, "-c", KILL, str(tmp_path), *KEYED.values(), BIRD, *points]
    subprocess.run(command, check=True, timeout=60)
    for point in POINTS:
        settings = _moved(keyed.settings, tmp_path / point / "home")
        erasure.erase(settings, [BIRD])
        assert traces(settings, (*GONE, *erasure.join_keys(settings, [BIRD]))) == []
        assert_same(settings, without.settings)
        assert audit.verify(settings)


def test_every_customer_can_go(keyed: Shop) -> None:
    erasure.erase(keyed.settings, ["K1001", "K1002", "K1003", BIRD])
    left = integrated(keyed.settings)
    assert not left[names.CUSTOMERS].height and not left[names.TRANSACTIONS].height
    assert set(left[names.INTERACTIONS]["page"]) == set()
    assert lineage.current(keyed.settings).balanced
    assert not keyed.load().changed


def test_a_stranger_is_found_nowhere_and_changes_nothing(keyed: Shop) -> None:
    before = (keyed.settings.home / state.STATE).read_bytes()
    assert erasure.find(keyed.settings, ["a stranger"]) == []
    assert erasure.erase(keyed.settings, ["a stranger"]) == []
    assert (keyed.settings.home / state.STATE).read_bytes() == before
    assert erasure.find(Settings(home=keyed.folder / "nothing here"), ["a stranger"]) == []


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
