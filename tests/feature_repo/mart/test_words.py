"""Claims: the company's words are found in its data, each has one slug, and they stay as they were found."""

import polars as pl

from feature_repo.features.view import Words
from feature_repo.mart import words
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names


def tables() -> dict[str, pl.LazyFrame]:
    found = {name: pl.LazyFrame(schema=schema) for name, schema in SCHEMAS.items()}
    departments = [f"D {number}" for number in range(14)]
    items = [{names.ITEM_ID: f"i{n}", names.DEPARTMENT: name} for n, name in enumerate([*departments, None, ""])]
    lines = [
        {names.ITEM_ID: f"i{number}", names.QUANTITY: quantity, names.AMOUNT: amount, names.CHANNEL: "store"}
        for number in range(16)
        for quantity, amount in ((1.0, float(number)), (-1.0, -1000.0))
    ]
    found[names.ITEMS] = pl.LazyFrame(items, schema=SCHEMAS[names.ITEMS])
    found[names.TRANSACTIONS] = pl.LazyFrame(lines, schema=SCHEMAS[names.TRANSACTIONS])
    contacts = [{names.CHANNEL: channel} for channel in ("E-Mail", "phone", None, "")]
    found[names.CONTACTS] = pl.LazyFrame(contacts, schema=SCHEMAS[names.CONTACTS])
    kinds = [{names.CAMPAIGN_TYPE: kind} for kind in "BBAACCDDEEFFG"]
    found[names.CAMPAIGNS] = pl.LazyFrame(kinds, schema=SCHEMAS[names.CAMPAIGNS])
    own = {"tier": pl.String(), "consent_mail": pl.Boolean(), "consent_mail_missing": pl.Boolean(), "age": pl.Int64()}
    found[names.CUSTOMERS] = pl.LazyFrame(schema={**SCHEMAS[names.CUSTOMERS], **own})
    return found


def test_departments_are_those_that_take_the_most_and_returns_take_nothing() -> None:
    assert list(words.find(tables()).departments.values()) == [f"D {number}" for number in range(13, 1, -1)]


def test_lines_may_come_some_at_a_time() -> None:
    found = tables()
    lines = found[names.TRANSACTIONS]
    some = (lines.slice(begin, 5) for begin in range(0, 35, 5))  # the last of them are none
    assert words.find(found, lines=some) == words.find(found)


def test_types_and_channels_are_the_commonest_in_the_alphabets_order() -> None:
    found = words.find(tables())
    assert found.campaign_types == {"a": "A", "b": "B", "c": "C", "d": "D", "e": "E", "f": "F"}
    assert found.channels == {"e_mail": "E-Mail", "phone": "phone", "store": "store"}


def test_attributes_and_purposes_are_the_customers_columns() -> None:
    found = words.find(tables())
    assert found.attributes == {"tier": "String", "consent_mail_missing": "Boolean", "age": "Int64"}
    assert found.purposes == ("mail",)


def test_words_that_were_kept_stay_and_attributes_follow_the_data() -> None:
    kept = Words(departments={"old": "Old"}, campaign_types={}, channels={"x": "X"}, attributes={"gone": "String"})
    found = words.find(tables(), kept)
    assert (found.departments, found.campaign_types, found.channels) == ({"old": "Old"}, {}, {"x": "X"})
    assert "tier" in found.attributes


def test_a_slug_is_one_words_alone_and_never_means_something_else() -> None:
    assert words.slugs(["DRUG GM", "drug-gm", "Other", "--", "食品", "Type A"]) == {
        "drug_gm": "DRUG GM",
        "drug_gm_2": "drug-gm",
        "other_2": "Other",
        "unnamed": "--",
        "食品": "食品",
        "type_a": "Type A",
    }
