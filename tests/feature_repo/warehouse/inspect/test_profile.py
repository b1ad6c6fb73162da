"""A column as it is: its range is the true one, and its kind is told by all of its values."""

import random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.inspect import own, profile


@given(st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=50, unique=True), st.sampled_from(".,"))
def test_the_range_is_that_of_all_values(cents: list[int], sign: str) -> None:
    texts = [f"{number / 100:.2f}".replace(".", sign) for number in cents]
    found = profile.column(pl.Series("amount", texts)).numbers
    assert found is not None
    assert (found.low, found.high) == (min(cents) / 100, max(cents) / 100)


def test_rare_values_count_for_the_range_and_for_fractions() -> None:
    common = [str(number) for number in range(1, profile.DIFFERENT + 1) for _ in range(3)]
    found = profile.column(pl.Series("spend", [*common, "3345.93", "-2"]))
    assert found.numbers is not None
    assert (found.numbers.low, found.numbers.high) == (-2, 3345.93)
    assert not found.whole
    assert found.numbers.decimal == "."


def test_a_number_with_fractions_is_no_key_whatever_its_name() -> None:
    found = profile.column(pl.Series("nr.employed", ["4963.6", "5191", "5228.1"] * 20))
    assert own.typed(found) == {"type": "number"}
    assert own.typed(profile.column(pl.Series("account nr", ["4963", "5191", "5228"] * 20))) == {"type": "string"}


def test_json_lists_are_lists_and_brackets_are_not() -> None:
    assert profile.column(pl.Series("lines", ['[{"sku": 1}]', "[]", '["a"]'])).kind == "list"
    assert profile.column(pl.Series("code", ["[a]", "[b]", "[c]"])).kind == "word"


def test_the_order_of_rows_says_nothing() -> None:
    texts = [f"{number / 7:.3f}" for number in range(5000)]
    mixed = random.Random(0).sample(texts, len(texts))
    assert profile.column(pl.Series("x", texts)).numbers == profile.column(pl.Series("x", mixed)).numbers
