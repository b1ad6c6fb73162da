"""A small shop whose layers are written by hand: what each rule of the gate looks at can be set by itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import state as states
from feature_repo.warehouse.contract import LINE, QUARANTINE, ROW, SCHEMAS, TABLES
from feature_repo.warehouse.mapping import model
from feature_repo.warehouse.quality import Verdict, judge
from feature_repo.warehouse.state import Cleaned, Integrated, Landed, Load, Part, State
from motherlode.settings import Settings

OWN = {"email": pl.String(), "illness": pl.String(), "postcode": pl.String()}
"""The columns that the shop adds to `customers`."""
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
"""When everything here is landed."""
MAPPING: dict[str, Any] = {
    "company": "Ada & Sons",
    "privacy": {"pseudonym": "none"},
    "sources": {table: {"files": f"{table}.csv"} for table in TABLES if not TABLES[table].derived},
    "tables": {
        "transactions": {
            "from": "transactions",
            "columns": {
                "customer_id": "customer_id",
                "item_id": "item_id",
                "amount": "amount",
                "store_id": "store_id",
                "event_timestamp": "at",
            },
        },
        "items": {"from": "items", "columns": {"item_id": "item_id", "category": "category"}},
        "customers": {
            "from": "customers",
            "columns": {
                "customer_id": "customer_id",
                "registered_at": "registered_at",
                "email": {"from": "email", "type": "string", "class": "identifier"},
                "illness": {"from": "illness", "type": "string", "class": "sensitive"},
                "postcode": {"from": "postcode", "type": "string", "class": "quasi"},
            },
        },
        "campaigns": {"from": "campaigns", "columns": {"campaign_id": "campaign_id", "started_at": "started_at"}},
        "contacts": {"from": "contacts", "columns": {"customer_id": "customer_id", "campaign_id": "campaign_id"}},
        "responses": {
            "from": "responses",
            "columns": {"customer_id": "customer_id", "campaign_id": "campaign_id", "event_timestamp": "at"},
        },
    },
}


def rows_of(
    table: str, rows: Iterable[Mapping[str, Any]], own: Mapping[str, pl.DataType] | None = None
) -> pl.DataFrame:
    """Rows of a canonical table; what they leave out is null."""
    schema = {**SCHEMAS[table], **(own or {})}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def sale(customer: str = "1", item: str = "a", amount: float = 5.0, days: float = 1.0, **others: Any) -> dict[str, Any]:
    """A purchase line so many days before it is landed."""
    at = NOW - timedelta(days=days)
    return {
        "customer_id": customer,
        "basket_id": "b",
        "item_id": item,
        "quantity": 1.0,
        "amount": amount,
        "retail_discount": 0.0,
        "coupon_discount": 0.0,
        "store_id": "s",
        "event_timestamp": at,
        "local_timestamp": at.replace(tzinfo=None),
        **others,
    }


def sound() -> dict[str, pl.DataFrame]:
    """Tables that nothing is wrong with."""
    customers = [{"customer_id": str(it), "registered_at": NOW - timedelta(days=400)} for it in range(1, 4)]
    return {
        "transactions": rows_of("transactions", [sale(str(1 + it % 3), "ab"[it % 2], 5.0 + it) for it in range(20)]),
        "items": rows_of("items", [{"item_id": it, "category": "food"} for it in "ab"]),
        "customers": rows_of("customers", customers, OWN),
    }


@dataclass
class Shop:
    """A home, and the next load's candidate.

    Attributes:
        settings: of the home.
        mapping: what the load maps.
        before: the state on disk.
    """

    settings: Settings
    mapping: model.Mapping
    before: State = field(default_factory=State)

    def candidate(
        self,
        tables: Mapping[str, pl.DataFrame],
        rejected: Sequence[Mapping[str, Any]] = (),
        *,
        name: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> State:
        """The state after a load of one new file a table, beside what is there.

        Args:
            tables: the clean rows of the file.
            rejected: rows of quarantine; what they leave out is null.
            name: the files' name.
            columns: of the files, as landed.
        """
        number = len(self.before.loads) + 1
        raw, clean = list(self.before.raw), list(self.before.clean)
        integrated = dict(self.before.integrated)
        for table, frame in tables.items():
            order, file = len(raw) + 1, name or f"{table}-{number}.csv"
            out = [{"file": file, "remedy": "Mend it.", **row} for row in rejected if row["table"] == table]
            quarantine = pl.DataFrame([{key: row.get(key) for key in QUARANTINE} for row in out], schema=QUARANTINE)
            excluded = quarantine.filter(pl.col("rule") == "excluded").height
            counted = frame.with_row_index(ROW, 1).with_columns(pl.col(ROW).alias(LINE))
            raw.append(self.landed(table, file, order, frame.height + len(out), columns or {"a": "String"}))
            clean.append(
                Cleaned(
                    table=table, entry=0, source=table, file_id=f"{order:016x}", name=file, order=order, inputs=file,
                    rows_in=frame.height + len(out), clean=self.part(f"clean/{table}/{order}", counted),
                    quarantine=self.part(f"quarantine/{table}/{order}", quarantine),
                    excluded=excluded, rejected=len(out) - excluded,
                )
            )  # fmt: skip
            integrated[table] = self.joined(table, [it for it in clean if it.table == table], number)
        load = Load(
            number=number, at=NOW, seconds=1.5, mapping="m" * 64, landed=tuple(it.order for it in raw),
            rows={table: entry.rows for table, entry in integrated.items()},
        )  # fmt: skip
        return State(
            company=self.mapping.company, mapping="m" * 64, raw=tuple(raw), clean=tuple(clean), integrated=integrated,
            loads=(*self.before.loads, load),
        )  # fmt: skip

    def landed(self, source: str, name: str, order: int, rows: int, columns: Mapping[str, str]) -> Landed:
        return Landed(
            source=source, name=name, file_id=f"{order:016x}", path=f"raw/{source}/{order}.parquet", sha256=str(order),
            sha256_raw=str(order), size=1, rows=rows, columns=columns, landed_at=NOW, order=order,
        )  # fmt: skip

    def joined(self, table: str, cleaned: Sequence[Cleaned], number: int) -> Integrated:
        frames = [pl.read_parquet(self.settings.home / it.clean.path).drop(ROW, LINE) for it in cleaned if it.clean]
        part = self.part(f"integrated/{table}/all.{number}", pl.concat(frames)) if frames else None
        rows = part.rows if part else 0
        return Integrated(table=table, parts={"": part} if part else {}, inputs={}, rows=rows, clean=rows)

    def part(self, path: str, frame: pl.DataFrame) -> Part | None:
        if not frame.height:
            return None
        target = self.settings.home / f"{path}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(target)
        return Part(path=f"{path}.parquet", rows=frame.height, sha256="")

    def judge(self, state: State) -> Verdict:
        return judge(self.settings, SimpleNamespace(mapping=self.mapping), state)

    def load(
        self, tables: Mapping[str, pl.DataFrame], rejected: Sequence[Mapping[str, Any]] = (), **more: Any
    ) -> Verdict:
        """Judge a candidate, and make it the state where it is not refused."""
        state = self.candidate(tables, rejected, **more)
        verdict = self.judge(state)
        if not verdict.refused:
            self.flip(state)
        return verdict

    def keep(self, tables: Mapping[str, pl.DataFrame], rejected: Sequence[Mapping[str, Any]] = (), **more: Any) -> None:
        """A load that nobody judges."""
        self.flip(self.candidate(tables, rejected, **more))

    def flip(self, state: State) -> None:
        """Make it the state."""
        lineage = self.settings.home / "lineage" / f"{state.mapping}.yaml"
        lineage.parent.mkdir(exist_ok=True, parents=True)
        lineage.write_bytes(msgspec.json.encode(self.mapping))
        states.write(self.settings, state)
        self.before = state

    def map(self, **changes: Any) -> None:
        """Change the mapping's blocks."""
        self.mapping = mapping(**changes)


def mapping(**changes: Any) -> model.Mapping:
    """The shop's mapping with other blocks."""
    return msgspec.convert({**MAPPING, **changes}, model.Mapping)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that has loaded nothing yet."""
    return Shop(Settings(home=tmp_path / "a home"), mapping())
