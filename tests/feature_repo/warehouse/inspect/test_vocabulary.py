"""Column names in five languages, cut into concepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.inspect import vocabulary


@pytest.mark.parametrize(
    ("name", "concepts"),
    [
        ("customerID", {"customer", "id"}),
        ("Kundennr", {"customer", "id"}),
        ("KUNDEN-NR.", {"customer", "id"}),
        ("id_cliente", {"customer", "id"}),
        ("Code client", {"customer", "id"}),
        ("客户编号", {"customer", "id"}),
        ("Bestelldatum", {"order", "date"}),
        ("Date de commande", {"order", "date"}),
        ("下单时间", {"time"}),
        ("E-Mail", {"email"}),
        ("transaction_timestamp", {"order", "time"}),
        ("Straße", {"address"}),
        ("Währung", {"currency"}),
        ("ordered_at", {"order", "time"}),
        ("zip_code", {"postcode", "id"}),
    ],
)
def test_a_name_says_the_same_in_every_language(name: str, concepts: set[str]) -> None:
    assert concepts <= vocabulary.read(name).concepts


def test_a_word_within_another_says_nothing() -> None:
    assert vocabulary.read("paid").concepts == {"amount"}, "not `id`"
    assert vocabulary.read("tenure") == vocabulary.Meaning(frozenset(), ("tenure",))
    assert vocabulary.read("monthly_noise").concepts == frozenset()


@pytest.mark.parametrize(
    ("name", "own"),
    [("Kunde seit", "kunde_seit"), ("euribor3m", "euribor3m"), ("SeniorCitizen", "senior_citizen"), ("2nd", "c_2nd")],
)
def test_a_column_of_the_company_gets_a_plain_name(name: str, own: str) -> None:
    assert vocabulary.snake(name) == own


@given(st.text(max_size=30))
def test_any_name_can_be_read_and_gets_a_name_that_a_mapping_takes(name: str) -> None:
    vocabulary.read(name)
    own = vocabulary.snake(name)
    assert own.isidentifier()
    assert own.isascii()
    assert not own.startswith("_")
