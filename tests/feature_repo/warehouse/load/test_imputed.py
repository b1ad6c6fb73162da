"""What is filled in when tables are put together: from whose past, before what, and of which rows."""

from typing import Any

import polars as pl
import pytest

from feature_repo.warehouse import parts
from feature_repo.warehouse.integrate import behaviour, imputing, people
from feature_repo.warehouse.integrate.table import Clean
from feature_repo.warehouse.mapping.model import Impute
from motherlode import names

EARLIER = (("K1", "R1", 1, "TEA", 1, "3.9", 0, "2025-08-01"), ("K2", "R2", 1, "TEA", 1, "3.9", 0, "2025-08-02"))
BESIDE = (("K1", "R4", 1, "CUP", 1, "5", 0, "2025-09-02"), ("K1", "R4", 2, "CPN", 0, "0", "1", "2025-09-02"))


@pytest.mark.parametrize(
    ("column", "how", "pieces", "money", "fate"),
    [
        ("quantity: pieces", "by: median", "", "0", "integrated"),
        ("amount: money", "by: median", 0, "", "no pieces"),
        ("amount: money", "by: rule, sql: 'coalesce(amount, 0)'", 0, "", "merged"),
        ("quantity: pieces", "by: rule, sql: '0'", "", "0", "merged"),
    ],
)
def test_a_line_is_a_coupon_by_what_was_filled_in_and_is_found_again(
    company: Any, column: str, how: str, pieces: object, money: str, fate: str
) -> None:
    name, _, raw = column.partition(": ")
    company.mapping = company.mapping.replace(column, f"{name}: {{ from: {raw}, impute: {{ {how} }} }}")
    company.mapping += "quality: { transactions: { fail: 1 } }\n"
    company.sales("sales1.csv", *EARLIER)
    company.sales(
        "sales2.csv",
        ("K1", "R3", 1, "TEA", 1, "4", 0, "2025-09-01"),
        ("K1", "R3", 2, "FREE", pieces, money, "2", "2025-09-01"),
        *BESIDE,
    )
    company.load()
    lines = company.table(names.TRANSACTIONS)
    assert ("FREE" in lines[names.ITEM_ID]) == (fate == "integrated")
    assert company.quarantine()["rule"].to_list() == (["no pieces"] if fate == "no pieces" else [])
    assert company.merged().height == (2 if fate == "merged" else 1)
    discounts = lines.filter(pl.col(names.ITEM_ID).is_in(["TEA", "CUP"]) & (pl.col(names.BASKET_ID) != "R1"))
    assert discounts.sort(names.BASKET_ID)[names.COUPON_DISCOUNT].to_list() == [0, 2 if fate == "merged" else 0, 1]


MATCHED = """
sources:
  sales: { files: "sales*.csv" }
  crm: { files: crm.csv }
tables:
  transactions:
    from: sales
    key: [basket_id, line_id]
    columns:
      customer_id: customer
      basket_id: receipt
      line_id: line
      item_id: item
      amount: { from: money, impute: { by: median, within: [customer_id] } }
      event_timestamp: sold
  customers:
    from: crm
    columns: { customer_id: id }
matching: { columns: { name: name, email: email, birth_date: born } }
"""


def test_what_a_merged_customer_lacks_is_filled_from_the_persons_own_past(company: Any) -> None:
    company.mapping = MATCHED
    anna = "Anna Muster,anna@example.org,1980-01-02"
    company.write("crm.csv", f"id,name,email,born\nK1,{anna}\nK2,{anna}\nK3,Bob Else,b@x.org,1970-01-01\n")
    company.sales(
        "sales1.csv",
        *(("K2", f"R{number}", 1, "TEA", 1, "100", 0, "2025-08-01") for number in range(5)),
        *(("K3", f"Q{number}", 1, "TEA", 1, "1", 0, "2025-08-01") for number in range(9)),
    )
    company.sales(
        "sales2.csv", ("K2", "X", 1, "TEA", 1, "", 0, "2025-09-01"), ("K1", "Y", 1, "TEA", 1, "", 0, "2025-09-01")
    )
    company.load()
    filled = company.table(names.TRANSACTIONS).filter(pl.col("amount_missing"))
    assert filled.select(names.CUSTOMER_ID, names.AMOUNT).rows() == [("K1", 100.0), ("K1", 100.0)]


STATES = """
sources:
  sales: { files: "sales*.csv" }
  crm: { files: "crm*.csv" }
  plans: { files: "plans*.csv" }
tables:
  transactions:
    from: sales
    columns: { customer_id: customer, item_id: item, amount: money, event_timestamp: sold }
  customers:
    from: crm
    columns:
      customer_id: id
      registered_at: since
      age: { from: age, type: integer, impute: { by: median } }
  campaigns:
    from: plans
    columns:
      campaign_id: id
      started_at: begins
      budget: { from: budget, type: number, impute: { by: mean } }
"""


def test_who_comes_later_does_not_change_what_was_filled_in_for_earlier_customers_and_campaigns(company: Any) -> None:
    company.mapping = STATES
    company.sales("sales1.csv", ("K1", "R1", 1, "TEA", 1, 1, 0, "2024-08-01"))
    company.write("crm1.csv", "id,since,age\nK0,2024-01-01,\nK1,2024-02-01,\nK2,2024-01-02,20\nK5,,\nK6,,60\n")
    company.write("plans1.csv", "id,begins,budget\nspring,2024-03-01,100\nsummer,2024-06-01,\n")
    company.load()
    before = company.table(names.CUSTOMERS).select(names.CUSTOMER_ID, "age", "age_missing").rows()
    # The first month has no past; a customer of no known day is filled from all, and teaches none of a known one.
    assert before == [
        ("K0", None, True), ("K1", 20, True), ("K2", 20, False), ("K5", 40, True), ("K6", 60, False)
    ]  # fmt: skip
    company.write("crm2.csv", "id,since,age\nK3,2025-10-01,90\nK4,2025-10-02,90\n")
    company.write("plans2.csv", "id,begins,budget\nautumn,2024-09-01,900\nwinter,2024-12-01,\n")
    company.load()
    after = company.table(names.CUSTOMERS).sort(names.CUSTOMER_ID)
    assert after["age"].to_list()[:3] == [None, 20, 20]
    runs = company.table(names.CAMPAIGNS).select(names.CAMPAIGN_ID, "budget")
    assert dict(runs.rows()) == {"spring": 100, "summer": 100, "autumn": 900, "winter": 500}


def test_without_any_day_customers_are_filled_from_all(company: Any) -> None:
    company.mapping = STATES
    company.sales("sales1.csv", ("K1", "R1", 1, "TEA", 1, 1, 0, "2024-08-01"))
    company.write("crm1.csv", "id,since,age\nK1,,\nK2,,20\n")
    company.write("plans1.csv", "id,begins,budget\nspring,2024-03-01,100\n")
    company.load()
    assert company.table(names.CUSTOMERS)["age"].to_list() == [20, 20]


def test_the_past_has_the_rows_with_a_value_that_stood_there_and_the_columns_that_are_asked_for(company: Any) -> None:
    company.mapping = company.mapping.replace(
        "amount: money", "amount: { from: money, impute: { by: mean, within: [item_id] } }"
    )
    company.sales("sales1.csv", *EARLIER)
    company.sales("sales2.csv", ("K1", "R3", 1, "TEA", 1, "", 0, "2025-09-01"), *BESIDE[:1])
    company.load()
    clean = Clean(names.TRANSACTIONS, impute={names.AMOUNT: Impute(by="mean", within=["item_id"])})
    known = company.state.integrated[names.TRANSACTIONS].parts.values()
    past = imputing.past(company.settings, clean, known)
    assert past is not None
    assert set(past.columns) == {names.EVENT_TIMESTAMP, names.ITEM_ID, names.AMOUNT}
    assert sorted(past[names.AMOUNT]) == [3.9, 3.9, 5.0]
    assert sum(frame.collect().height for frame in parts.scan(company.settings, known)) == 4


def test_another_version_of_what_scores_compares_or_predicts_makes_its_tables_anew(
    company: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    company.mapping = MATCHED.replace("by: median, within: [customer_id]", "by: model, using: [item_id]").replace(
        "tables:", "  notes: { files: notes.csv }\ntables:"
    )
    company.mapping = company.mapping.replace(
        "matching:",
        "  feedback:\n    from: notes\n    columns: { customer_id: who, text: words, event_timestamp: at }\nmatching:",
    )
    company.write("crm.csv", "id,name,email,born\nK1,Anna Muster,a@example.org,1980-01-02\n")
    company.write("notes.csv", "who,words,at\nK1,wonderful tea,2025-08-01\n")
    company.sales("sales1.csv", *EARLIER)
    company.load()

    def integrated() -> tuple[str, ...]:
        state = company.state
        assert state.matches is not None
        inputs = [dict(state.integrated[name].inputs) for name in (names.TRANSACTIONS, names.FEEDBACK)]
        return (state.matches.path, *map(str, inputs))

    before = integrated()
    behaviour._scorers.cache_clear()
    for module in (behaviour, imputing, people):
        monkeypatch.setattr(module, "version", lambda package: f"another {package}")
    company.load(rebuild="integrated")
    behaviour._scorers.cache_clear()
    assert all(now != then for now, then in zip(integrated(), before, strict=True))
