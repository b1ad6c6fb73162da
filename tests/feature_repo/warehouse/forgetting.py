"""A shop whose customers a test erases: its files, its warehouse, and what is asked of these."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from feature_repo.warehouse import erasure, pipeline, tables, vault
from feature_repo.warehouse.lineage import Lineage
from feature_repo.warehouse.mapping.read import read
from motherlode import names
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


def copied(made: Shop, folder: Path) -> Shop:
    shutil.copytree(made.folder.parent, folder)
    return Shop(folder / "shop", moved(made.settings, folder / "home"), made.pseudonym)


def silent(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        for mention, said in MENTIONS.items():
            line = line.replace(mention, said)
        if not any(word.lower() in line.lower() for word in (*GONE, *(f'"{page}"' for page in BIRDS_PAGES))):
            yield line


def moved(settings: Settings, home: Path) -> Settings:
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
