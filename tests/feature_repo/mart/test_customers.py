"""The mart's customers: what each agreed to is carried as it is, and nothing that the mart may not hold."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.mart import customers, manifest
from feature_repo.warehouse import parts, state
from feature_repo.warehouse.state import Integrated, Load, State
from motherlode import names
from motherlode.errors import DataError
from motherlode.settings import Settings

AT = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = pl.DataFrame(
    {
        names.CUSTOMER_ID: ["b", "a", "c"],
        names.REGISTERED_AT: [AT, None, AT],
        "tier": ["gold", None, "silver"],
        "birth_date": [date(1990, 1, 1), None, date(2000, 2, 29)],
        "consent_marketing": [True, None, False],
        "diagnosis": ["flu", "none", None],
        "consent_profiling": [None, None, True],
        "consent_profiling_missing": [True, True, False],
        "login": ["x" * 64, "y" * 64, None],
        "nobody told of it": [1, 2, 3],
        "last_call_seconds": [10, 20, 30],
    },
    schema_overrides={names.REGISTERED_AT: pl.Datetime("us", "UTC")},
)
MAPPING = """
company: c
sources:
  crm: {files: crm.csv}
tables:
  customers:
    from: crm
    columns:
      customer_id: id
      registered_at: since
      tier: {from: t, type: string}
      birth_date: {from: b, type: date, class: quasi}
      consent_marketing: {from: m, type: boolean}
      diagnosis: {from: d, type: string, class: sensitive}
      consent_profiling: {from: p, type: boolean}
      login: {from: l, type: string, class: identifier}
      last_call_seconds: {from: s, type: integer, after_outcome: true}
privacy: {pseudonym: none}
"""


def load(home: Path, frame: pl.DataFrame) -> Settings:
    """A warehouse of customers alone."""
    settings = Settings(home=home)
    (home / "lineage").mkdir(parents=True, exist_ok=True)
    (home / "lineage" / "m.yaml").write_text(MAPPING)
    part = parts.write(settings, "integrated/customers", "all", [frame])
    table = Integrated(table=names.CUSTOMERS, parts={} if part is None else {"": part}, inputs={}, rows=frame.height)
    done = Load(number=1, at=AT, seconds=1, mapping="m", landed=(), rows={})
    state.write(settings, State(mapping="m", integrated={names.CUSTOMERS: table}, loads=(done,)))
    return settings


def test_purposes_and_open_attributes_are_carried_and_nothing_else(tmp_path: Path) -> None:
    settings = load(tmp_path, KNOWN)
    entry = customers.write_customers(settings)
    mart = pl.read_parquet(settings.mart / "customers.parquet")
    assert mart.columns == [
        names.CUSTOMER_ID,
        "consent_marketing",
        "consent_profiling",
        names.REGISTERED_AT,
        "tier",
        "birth_date",
        "consent_profiling_missing",
        names.CREATED_TIMESTAMP,
    ]
    assert mart[names.CUSTOMER_ID].to_list() == ["a", "b", "c"]
    assert mart["consent_marketing"].to_list() == [None, True, False], "null: never asked"
    assert mart["consent_profiling"].to_list() == [None, None, True]
    assert customers.purposes(mart) == ["marketing", "profiling"]
    assert entry.rows == 3
    assert manifest.read(settings).customers == entry


def test_it_is_written_again_only_where_something_changed(tmp_path: Path) -> None:
    settings = load(tmp_path, KNOWN)
    entry = customers.write_customers(settings)
    assert customers.write_customers(settings) == entry
    (settings.mart / "customers.parquet").write_bytes(b"not what was written")
    assert customers.write_customers(settings).rows == 3
    load(tmp_path, KNOWN.with_columns(consent_marketing=pl.lit(False)))
    changed = customers.write_customers(settings)
    assert changed.inputs != entry.inputs
    mart = pl.read_parquet(settings.mart / "customers.parquet")
    assert mart["consent_marketing"].to_list() == [False] * 3, "who took a consent back is not asked again"


def test_a_company_without_customers_has_an_empty_table(tmp_path: Path) -> None:
    settings = load(tmp_path, KNOWN.clear())
    assert customers.write_customers(settings).rows == 0
    mart = pl.read_parquet(settings.mart / "customers.parquet")
    assert mart.columns == [names.CUSTOMER_ID, names.REGISTERED_AT, names.CREATED_TIMESTAMP]


def test_a_purpose_that_is_no_yes_or_no_is_refused(tmp_path: Path) -> None:
    settings = load(tmp_path, KNOWN.with_columns(consent_marketing=pl.lit("perhaps")))
    with pytest.raises(DataError, match="'consent_marketing' of customers is String") as caught:
        customers.write_customers(settings)
    assert "type: boolean" in caught.value.remedy
    assert not (settings.mart / "customers.parquet").exists()
