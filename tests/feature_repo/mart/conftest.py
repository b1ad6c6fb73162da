"""A small company whose integrated tables a test writes, changes and builds; and a few views that show every kind."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from feature_repo.features import campaign_history, catalogue, purchases, rfm
from feature_repo.mart import manifest, snapshots
from feature_repo.mart.manifest import Manifest
from feature_repo.warehouse import parts, state
from feature_repo.warehouse.contract import SCHEMAS, TABLES
from feature_repo.warehouse.state import Integrated, Load, State
from motherlode import names
from motherlode.compute import choose
from motherlode.settings import Settings

START = datetime(2024, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1)
Row = dict[str, Any]
Rows = dict[str, list[Row]]

MAPPING = """
version: 1
company: A corner shop
sources:
  calls: {files: calls.csv}
tables:
  contacts:
    from: calls
    columns:
      customer_id: customer
      campaign_id: campaign
      event_timestamp: at
      duration: {from: seconds, type: number, after_outcome: true}
      agent: {from: agent, type: string}
privacy: {pseudonym: none}
"""
OWN = {
    "items_sold": '''
        """Pieces: how many of an item were sold in all."""
        import polars as pl
        from feature_repo.features.frames import SNAPSHOT, purchases, seen
        from feature_repo.features.view import Feature
        READS = ("transactions",)
        KEY = "item_id"
        WHOLE = True
        FEATURES = {"sold": Feature(pl.Float32(), "lines", "lines sold")}
        def build(tables, snapshots):
            lines = purchases(tables).filter(pl.col("item_id").is_not_null()).select("item_id", "event_timestamp")
            counts = seen(lines, snapshots).group_by(SNAPSHOT, "item_id").agg(pl.len().cast(pl.Float32).alias("sold"))
            return counts.select("item_id", pl.col(SNAPSHOT).alias("event_timestamp"), "sold")
    ''',
    "spoken": '''
        """Notes: how many a customer wrote, and how that compares."""
        import polars as pl
        from feature_repo.features.frames import ROW, SNAPSHOT, finish, seen
        from feature_repo.features.view import Feature
        READS = ("feedback", "customers")
        FEATURES = {"notes": Feature(pl.Int32(), "notes", "notes"), "place": Feature(pl.Int32(), "place", "from 1")}
        ACROSS = ("place",)
        def build(tables, snapshots):
            known = tables["feedback"].select("customer_id", "event_timestamp")
            counts = seen(known, snapshots).group_by(ROW).agg(pl.len().alias("notes"))
            staff = tables["customers"].select("customer_id").unique().with_columns(pl.lit(1).alias("in_file"))
            counts = counts.join(staff, on="customer_id", how="left")
            counts = counts.with_columns(pl.col("notes") + 100 * pl.col("in_file").fill_null(0))
            return finish(counts, {"notes": pl.Int32()})
        def across(rows):
            place = pl.col("notes").rank("min", descending=True).over("event_timestamp")
            return rows.with_columns(place.cast(pl.Int32).alias("place"))
    ''',
}


@dataclass
class Shop:
    """A home folder with integrated tables.

    Attributes:
        settings: of it.
        views: the company's own views: name → source.
    """

    settings: Settings
    views: dict[str, str] = field(default_factory=dict)

    def history(self, rng: random.Random, days: int, customers: int = 9) -> Rows:
        """See `history`."""
        return history(rng, days, customers)

    def later(self, rng: random.Random, rows: Rows, day: int) -> Rows:
        """See `later`."""
        return later(rng, rows, day)

    def write(self, rows: Rows) -> None:
        """Make these the integrated tables: a file a month for those that have months."""
        home = self.settings.home
        (home / "lineage").mkdir(parents=True, exist_ok=True)
        (home / "lineage" / "m.yaml").write_text(MAPPING)
        integrated = {}
        for name, schema in SCHEMAS.items():
            own = {"duration": pl.Float64(), "agent": pl.String()} if name == names.CONTACTS else {}
            frame = pl.DataFrame(rows.get(name, []), schema={**schema, **own})
            found = {
                month: parts.write(self.settings, f"integrated/{name}", month or "all", [part])
                for month, part in _months(name, frame)
            }
            integrated[name] = Integrated(
                table=name,
                parts={month: part for month, part in found.items() if part is not None},
                inputs={},
                rows=frame.height,
            )
        load = Load(number=1, at=START, seconds=1, mapping="m", landed=(), rows={})
        state.write(self.settings, State(mapping="m", company="A corner shop", integrated=integrated, loads=(load,)))

    def own(self, **sources: str) -> None:
        """Write the company's own views."""
        folder = self.settings.home.parent / "features"
        folder.mkdir(exist_ok=True)
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(dedent(source).strip() + "\n")

    def build(self, **options: Any) -> Manifest:
        """Build the mart."""
        return snapshots.build(self.settings, choose("cpu"), **options)

    def rows(self, view: str) -> pl.DataFrame:
        """A view's rows, sorted; without when they were made."""
        frame = manifest.scan(self.settings, view).drop(names.CREATED_TIMESTAMP).collect()
        return frame.sort(names.EVENT_TIMESTAMP, frame.columns[0])

    def mart(self) -> dict[str, pl.DataFrame]:
        """Every view's rows."""
        return {view: self.rows(view) for view in manifest.read(self.settings).views}

    def full(self, folder: Path) -> "Shop":
        """Another home with the same tables, whose mart knows only where the regular snapshots stand and the words."""
        other = Shop(replace(self.settings, home=folder))
        folder.mkdir(parents=True)
        for each in ("integrated", "lineage"):
            (folder / each).symlink_to(self.settings.home / each)
        known = state.read(self.settings)
        state.write(other.settings, known)
        mart = manifest.read(self.settings)
        bare = Manifest(anchor=mart.anchor, words=mart.words, cadence_days=mart.cadence_days)
        manifest.write(other.settings, bare)
        return other


def _months(name: str, frame: pl.DataFrame) -> Iterable[tuple[str, pl.DataFrame]]:
    if not TABLES[name].monthly:
        return [("", frame)]
    month = frame.with_columns(pl.col(TABLES[name].time or "").dt.strftime("%Y-%m").alias("month"))
    return [(str(key[0]), part) for key, part in month.partition_by("month", as_dict=True, include_key=False).items()]


def line(rng: random.Random, customer: str, at: datetime) -> Row:
    """A purchase line, seldom a return."""
    back = rng.random() < 0.1
    return {
        names.CUSTOMER_ID: customer,
        names.BASKET_ID: f"{customer}{at:%d%H}",
        names.ITEM_ID: rng.choice(["bread", "milk", "salt", None]),
        names.QUANTITY: -1.0 if back else 1.0,
        names.AMOUNT: (-1 if back else 1) * rng.randint(1, 3000) / 100,
        names.RETAIL_DISCOUNT: rng.choice([0.0, 0.5]),
        names.COUPON_DISCOUNT: 0.0,
        names.EVENT_TIMESTAMP: at,
        names.LOCAL_TIMESTAMP: at.replace(tzinfo=None),
    }


def history(rng: random.Random, days: int, customers: int = 9) -> Rows:
    """What a small shop knows after some days."""
    ids = [f"c{number}" for number in range(customers)]
    lines = [line(rng, rng.choice(ids), moment(rng, 0, days)) for _ in range(days * 2)]
    calls: list[dict[str, Any]] = [
        {
            names.CUSTOMER_ID: customer,
            names.CAMPAIGN_ID: f"k{number % 2}",
            names.EVENT_TIMESTAMP: moment(rng, 0, days),
            "duration": rng.random() * 100,
            "agent": "a",
        }
        for number, customer in enumerate([*ids, "never bought"])
    ]
    answers = [
        {names.CUSTOMER_ID: call[names.CUSTOMER_ID], names.CAMPAIGN_ID: call[names.CAMPAIGN_ID]}
        | {names.EVENT_TIMESTAMP: call[names.EVENT_TIMESTAMP] + DAY, names.COUPON_ID: "1"}
        for call in calls[::3]
        if call[names.EVENT_TIMESTAMP] + DAY < START + days * DAY
    ]
    notes = [
        {names.CUSTOMER_ID: rng.choice(ids), names.EVENT_TIMESTAMP: moment(rng, 0, days), names.TEXT: "I wept"}
        for _ in range(customers)
    ]
    return {
        names.TRANSACTIONS: lines,
        names.ITEMS: [{names.ITEM_ID: it, names.DEPARTMENT: it.upper()} for it in ("bread", "milk", "salt")],
        names.CUSTOMERS: [{names.CUSTOMER_ID: customer} for customer in ids],
        names.CAMPAIGNS: [
            {names.CAMPAIGN_ID: f"k{n}", names.CAMPAIGN_TYPE: f"Type {n}", names.STARTED_AT: START} for n in (0, 1)
        ],
        names.CONTACTS: calls,
        names.RESPONSES: answers,
        names.FEEDBACK: notes,
    }


def later(rng: random.Random, rows: Rows, day: int) -> Rows:
    """What the shop knows some days on: new days, and now and then late, corrected, removed rows and new customers."""
    known = {name: list(each) for name, each in rows.items()}
    lines, last = known[names.TRANSACTIONS], day
    ids = sorted({each[names.CUSTOMER_ID] for each in lines})
    chosen = rng.sample(["days", "late", "corrected", "removed", "customer", "item", "note", "nothing"], 3)
    if "days" in chosen:
        last = day + rng.choice([1, 1, 5, 9])
        lines += [line(rng, rng.choice(ids), moment(rng, day, last)) for _ in range(4)]
    if "late" in chosen:
        lines.append(line(rng, rng.choice(ids), moment(rng, 0, day)))
    if "corrected" in chosen:
        place = rng.randrange(len(lines))
        lines[place] = {**lines[place], names.AMOUNT: 7.77}
    if "removed" in chosen:
        gone = rng.choice(ids)
        cut = START + timedelta(days=day - rng.choice([3, 400]))
        kept = [each for each in lines if each[names.CUSTOMER_ID] != gone or each[names.EVENT_TIMESTAMP] < cut]
        known[names.TRANSACTIONS] = kept or lines
    if "customer" in chosen:
        new = f"n{rng.randrange(100)}"
        known[names.CUSTOMERS].append({names.CUSTOMER_ID: new})
        known[names.TRANSACTIONS].append(line(rng, new, moment(rng, 0, day)))
    if "item" in chosen:
        known[names.CAMPAIGNS][0] = {**known[names.CAMPAIGNS][0], names.CAMPAIGN_TYPE: f"Type {rng.choice([0, 1])}"}
    if "note" in chosen:
        known[names.FEEDBACK].pop(rng.randrange(len(known[names.FEEDBACK])))
        known[names.FEEDBACK].append({names.CUSTOMER_ID: rng.choice(ids), names.EVENT_TIMESTAMP: moment(rng, 0, day)})
    return known


def moment(rng: random.Random, first: int, last: int) -> datetime:
    """Anywhere in these days; one in four at midnight, where a snapshot may stand."""
    day = START + rng.randrange(first, last) * DAY
    return day if rng.random() < 0.25 else day + timedelta(microseconds=rng.randrange(86_400_000_000))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A company with three of the catalogue's views and two of its own: one of each kind, and soon built."""
    few: Mapping[str, Any] = {
        names.RFM: rfm,
        names.CAMPAIGN_HISTORY: campaign_history,
        names.PURCHASES: purchases,
    }
    monkeypatch.setattr(catalogue, "MODULES", MappingProxyType(few))
    (tmp_path / "project").mkdir()
    found = Shop(
        Settings(home=tmp_path / "project" / "home with spaces", mapping=tmp_path / "project" / "motherlode.yaml")
    )
    found.own(**OWN)
    return found
