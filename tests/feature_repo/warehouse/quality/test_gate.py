"""The gate through the real pipeline: a company's files in, findings out, and the last good state where one fails."""

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import pipeline, tables
from feature_repo.warehouse import state as states
from feature_repo.warehouse.mapping.read import read
from feature_repo.warehouse.quality import gate, measurement
from feature_repo.warehouse.quality.finding import Finding
from motherlode.errors import DataError
from motherlode.settings import Settings

from .conftest import MAPPING, Shop, rows_of, sale, sound

CUSTOMERS = "customer_id,registered_at,email,illness,postcode,total\n" + "".join(
    f"{number},2024-01-01,canary{number}@example.com,flu,8000,{10 * number}\n" for number in range(1, 6)
)


def sales(rows: int, *, bad: int = 0, day: int = 1) -> str:
    lines = [f"{1 + it % 5},a,{it}.50,s,2025-02-{day:02d}T{it % 24:02d}:{it // 24:02d}:00" for it in range(rows)]
    lines += [f"{1 + it % 5},a,n/a,s,2025-02-{day:02d}T00:00:{it:02d}" for it in range(bad)]
    return "customer_id,item_id,amount,store_id,at\n" + "\n".join(lines) + "\n"


class Company:
    """A folder with a company's files and its mapping, and a home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder / "shop", Settings(home=folder / "home", pseudonym_key="k" * 40)
        self.folder.mkdir()
        self.blocks: dict[str, Any] = {
            "company": "Ada & Sons",
            "sources": {name: {"files": f"{name}*.csv"} for name in ("transactions", "customers", "items")},
            "tables": {name: MAPPING["tables"][name] for name in ("transactions", "customers", "items")},
        }
        self.put("customers.csv", CUSTOMERS)
        self.put("items.csv", "item_id,category\na,food\n")
        self.put("transactions-1.csv", sales(40))

    def put(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)

    def load(self) -> list[Finding]:
        """Load, and answer what the gate said of it."""
        (self.folder / "motherlode.yaml").write_bytes(msgspec.json.encode(self.blocks))
        said: list[Finding] = []
        judge = gate.judge

        def listen(*given: Any) -> Any:
            verdict = judge(*given)
            said.extend(verdict.findings)
            return verdict

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gate, "judge", listen)
            pipeline.load(self.settings, read(self.folder))
        return said

    def told(self) -> dict[str, str]:
        """The findings of the next load but for what age they find: what → value."""
        return {it.what: it.value for it in self.load() if it.what != "the newest event is old"}


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path)


def test_a_sound_company_has_no_finding_but_the_age_of_its_data(company: Company) -> None:
    assert {it.what for it in company.load()} == {"the newest event is old"}


def test_rejected_rows_warn_and_what_was_good_goes_on(company: Company) -> None:
    company.put("transactions-1.csv", sales(40, bad=4))
    value = company.told()["rejected rows in the new files"]
    assert value.startswith("4 of 44 (9.1 %), above 1.0 %; most: ")
    assert value.endswith(" (amount) 4")
    assert tables.scan(company.settings, "transactions").collect().height == 40


def test_too_many_rejected_rows_refuse_the_load_and_the_last_good_state_stays(company: Company) -> None:
    company.load()
    company.put("transactions-2.csv", sales(3, bad=40, day=2))
    before = states.read(company.settings)
    with pytest.raises(DataError, match=r"transactions: rejected rows in the new files \(40 of 43 \(93 %\)"):
        company.load()
    assert states.read(company.settings) == before
    assert tables.scan(company.settings, "transactions").collect().height == 40


def test_the_rows_of_a_refused_load_can_be_looked_at_until_another_comes_through(company: Company) -> None:
    company.load()
    company.put("transactions-2.csv", sales(3, bad=40, day=2))
    with pytest.raises(DataError):
        company.load()
    refused = gate.refused(company.settings)
    assert refused is not None
    held = tables.quarantine_state(company.settings, refused.state, "transactions").collect()
    assert (held.height, held["value"].unique().to_list(), held["file"][0]) == (40, ["n/a"], "transactions-2.csv")
    assert any(finding.severity == "fail" for finding in refused.findings)
    company.put("transactions-2.csv", sales(43, day=2))
    company.load()
    assert gate.refused(company.settings) is None


def test_a_looser_threshold_lets_the_same_load_through(company: Company) -> None:
    company.put("transactions-1.csv", sales(3, bad=40))
    with pytest.raises(DataError):
        company.load()
    company.blocks["quality"] = {"transactions": {"fail": 0.95}}
    assert "rejected rows in the new files" in company.told()


def test_an_empty_column_an_unlisted_item_and_an_unknown_customer_are_told(company: Company) -> None:
    company.put("transactions-1.csv", sales(10).replace(",s,", ",,").replace(",a,", ",x,").replace("\n5,", "\n77,"))
    found = company.told()
    assert found["store_id has no value at all"] == "null in all 10 new rows"
    assert found["items sold that the catalogue lacks"] == "10 of 10 (100 %) rows, 1 different: x"
    assert found["customers without a profile"] == "2 of 10 (20 %) rows, 1 different"


def test_a_purchase_before_registration_is_counted(company: Company) -> None:
    company.put("customers.csv", CUSTOMERS.replace("\n3,2024", "\n3,2026"))
    found = company.told()
    assert found["purchases before the customer was registered"] == "8 of 40 (20 %) rows, of 1 customer"


def test_a_column_that_changes_its_type_between_loads_is_told(company: Company) -> None:
    company.blocks["sources"]["transactions"] = {"files": "transactions*.parquet"}
    frame = pl.read_csv(sales(20).encode())
    frame.write_parquet(company.folder / "transactions-1.parquet")
    company.load()
    frame.with_columns(
        pl.col("customer_id").cast(pl.String), at=pl.col("at").str.replace("-02-", "-03-")
    ).write_parquet(company.folder / "transactions-2.parquet")
    found = company.told()
    assert found["column customer_id changed its type"].endswith(
        "in transactions-2.parquet, against transactions-1.parquet"
    )


def test_a_refused_file_is_told_by_name_and_the_others_go_on(company: Company) -> None:
    company.put("transactions-2.csv", sales(5, day=2))
    (company.folder / "transactions-3.csv").write_bytes(b"PAR1\x00\x01\x02 no table at all \x00\xff")
    found = company.load()
    assert [it.table for it in found if it.what == "file transactions-3.csv was refused"] == ["transactions"]
    assert tables.scan(company.settings, "transactions").collect().height == 45


def test_sources_that_do_not_agree_are_told_and_refuse_where_the_mapping_says_so(company: Company) -> None:
    customers = company.blocks["tables"]["customers"]
    columns = {**customers["columns"], "total": {"from": "total", "type": "number"}}
    company.blocks["tables"]["customers"] = {**customers, "columns": columns}
    left = {"table": "transactions", "column": "amount", "by": "customer_id"}
    check = {"name": "totals", "left": left, "right": {**left, "table": "customers", "column": "total"}}
    company.blocks["checks"] = [check]
    value = company.told()["`totals` does not hold"]
    assert value.startswith("5 of 5 (100 %) keys differ; in all 800.00 against 150.00; most: ")
    assert "canary" not in value
    company.blocks["checks"] = [{**check, "severity": "fail"}]
    company.put("transactions-2.csv", sales(2, day=2))
    with pytest.raises(DataError, match="`totals` does not hold"):
        company.load()


def test_amounts_in_cents_are_told_as_another_distribution(company: Company) -> None:
    company.put("transactions-1.csv", sales(600))
    company.load()
    company.put("transactions-2.csv", sales(600, day=3).replace(".50", "50.00"))
    assert company.told()["amount: new rows are distributed otherwise"].startswith("PSI ")


def test_nothing_that_names_a_person_is_kept_below_quality(company: Company) -> None:
    company.put("customers.csv", CUSTOMERS + ",2024-01-01,canary@example.com,flu,8000,1\n")
    company.load()
    kept = [path.read_bytes() for path in (company.settings.home / measurement.FOLDER).iterdir()]
    assert kept
    assert not any(b"canary" in content or b"flu" in content for content in kept)


# By hand: what the pipeline is made to rule out, and what has no file behind it.


def test_files_that_break_the_contract_refuse_the_load(shop: Shop) -> None:
    wrong = sound()["transactions"].with_columns(pl.col("amount").cast(pl.String))
    verdict = shop.judge(shop.candidate({**sound(), "transactions": wrong}))
    assert [it.what for it in verdict.findings if it.severity == "fail"] == ["amount has another type"]
    null = rows_of("transactions", [sale(item=None)])  # type: ignore[arg-type]
    verdict = shop.judge(shop.candidate({**sound(), "transactions": null}))
    assert [it.what for it in verdict.findings if it.severity == "fail"] == ["rows break `missing: item_id`"]


def test_a_first_load_without_its_needed_sources_is_refused(shop: Shop) -> None:
    verdict = shop.judge(shop.candidate({"items": sound()["items"]}))
    assert verdict.refused
    assert "transactions: the source transactions has no usable file" in verdict.reason


def test_a_load_through_the_gate_keeps_its_figures_and_a_refused_one_does_not(shop: Shop) -> None:
    assert not shop.load(sound()).refused
    assert measurement.read(shop.settings, 1) is not None
    assert shop.load({"transactions": rows_of("transactions", [sale(item=None)])}).refused  # type: ignore[arg-type]
    assert measurement.read(shop.settings, 2) is None
    assert gate.refused(shop.settings) is not None
    assert not shop.load({"transactions": rows_of("transactions", [sale()])}).refused
    assert gate.refused(shop.settings) is None


def test_every_row_is_held_against_the_schema_where_all_are_asked_for(shop: Shop) -> None:
    """A broken row deep in a large file: a sample may miss it, the whole does not."""
    rows = pl.concat([sound()["transactions"]] * 50)
    deep = rows.with_columns(
        pl.when(pl.int_range(pl.len()) == 777).then(None).otherwise("basket_id").alias("basket_id")
    )
    state = shop.candidate({"transactions": deep})
    found = list(gate.whole(shop.settings, shop.mapping, state, ["transactions"], size=300))
    assert [(it.what, it.value) for it in found] == [("rows break `missing: basket_id`", "1 of 300 (0.3 %)")]


def test_a_damaged_note_of_a_refusal_is_none(shop: Shop) -> None:
    (shop.settings.home / measurement.FOLDER).mkdir(parents=True)
    (shop.settings.home / measurement.FOLDER / gate.REFUSED).write_text("{")
    assert gate.refused(shop.settings) is None
