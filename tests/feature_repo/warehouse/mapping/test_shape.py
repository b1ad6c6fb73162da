"""YAML is read as it is written: words stay words, and what is unclear is refused."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.mapping import shape
from feature_repo.warehouse.mapping.shape import Places
from motherlode.errors import DataError

FILE = Path("m.yaml")


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A block."""

    number: float | None = None
    sheet: str | int | None = None
    pick: Literal["keep", "null"] = "keep"


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A document with every kind of value."""

    text: str
    flag: bool = False
    count: int = 0
    bound: float | str | None = None
    some: list[str] = []
    values: dict[str, Any] = {}
    inner: Inner | None = None
    either: dict[str, str | Inner] = {}
    many: Inner | list[Inner] | None = None


def read(text: str) -> Document:
    """A document."""
    return shape.read(text.encode(), FILE, Document)[0]


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "off", "NO", "y", "007", "1.10", "2024-01-01", "12:30", "1_000", "0x1F"]
)
def test_a_word_stays_the_word_that_was_written(word: str) -> None:
    document = read(f"text: {word}\nbound: {word}\nsome: [{word}]\nvalues: {{{word}: {word}}}\neither: {{a: {word}}}")
    assert document.text == document.bound == document.some[0] == document.either["a"] == word
    assert document.values == {word: word}


def test_numbers_truths_and_nothing_are_read_where_they_are_wanted() -> None:
    document = read(
        'text: "null"\nflag: true\ncount: 7\ninner: {number: 1e-2, sheet: 2}\nvalues: {a: null, b: ~, c: "null"}'
    )
    assert (document.text, document.flag, document.count) == ("null", True, 7)
    assert document.inner == Inner(number=0.01, sheet=2)
    assert document.values == {"a": None, "b": None, "c": "null"}
    assert read('text: t\ninner: {sheet: "2"}').inner == Inner(sheet="2")


def test_one_block_or_several_can_stand_in_one_place() -> None:
    assert read("text: t\nmany: {number: 1}").many == Inner(number=1)
    assert read("text: t\nmany: [{number: 1}, {}]").many == [Inner(number=1), Inner()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "m.yaml is empty"),
        ("# nothing\n", "m.yaml is empty"),
        ("just words", "m.yaml, line 1: it is 'just words'; expected a block of keys"),
        ("- a\n- b", "m.yaml, line 1: it is a list; expected a block of keys"),
        ("text: t\ntext: u", "m.yaml, line 2: text: it stands here and in line 1"),
        ("text: t\nflag: yes", "m.yaml, line 2: flag: it is 'yes'; expected true or false"),
        ('text: t\nflag: "true"', "m.yaml, line 2: flag: it is 'true'; expected true or false"),
        ("text: t\ncount: 1.5", "m.yaml, line 2: count: it is '1.5'; expected a whole number"),
        ("text: t\ncount: 010", "m.yaml, line 2: count: it is '010'; expected a whole number"),
        ("text: t\nsome: word", "m.yaml, line 2: some: it is 'word'; expected a list"),
        ("text: [t]", "m.yaml, line 1: text: it is a list; expected text"),
        ("text:", "m.yaml, line 1: text: it is empty; expected text"),
        ("text: t\ninner:\n  nmber: 1", "m.yaml, line 3: inner.nmber: there is no such key here"),
        ("text: t\ninner: {pick: kep}", "m.yaml, line 2: inner.pick: it is 'kep'; expected one of keep, null"),
        ("text: t\nmany:\n- number: 1\n- nmber: 2", "m.yaml, line 4: many[1].nmber: there is no such key here"),
        ("text: t\neither:\n  a:\n    x: 1", "m.yaml, line 4: either.a.x: there is no such key here"),
        ("text: t\n? [a]\n: b", "m.yaml, line 1: a key is no plain text"),
        ("text: !!python/object:os.system t", "m.yaml, line 1: text: tags such as tag:yaml.org,2002:python"),
        ("text: !secret t", "m.yaml, line 1: text: tags such as !secret"),
        ("text: *unknown", "m.yaml, line 1, column 7 is no YAML"),
        ("text: t\n---\ntext: u", "is no YAML"),
        ("text: t\nvalues: {a: [1]}", "m.yaml, line 2: values.a: it is a list; expected a value"),
        ("text: {", "is no YAML"),
        ("text: @home", "is no YAML"),
        ("text: t\x07", "is no YAML"),
    ],
)
def test_what_is_unclear_is_refused_where_it_stands(text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert problem in caught.value.problem


def test_a_missing_key_is_told_with_those_there_are() -> None:
    with pytest.raises(DataError, match="it lacks the key 'text'") as caught:
        read("flag: true")
    assert "text, flag, count" in caught.value.remedy


def test_a_file_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(DataError, match="byte 7 is no UTF-8"):
        shape.read("text: ü".encode("latin-1"), FILE, Document)
    assert shape.read("\ufefftext: ü".encode(), FILE, Document)[0].text == "ü"


def test_an_anchor_is_read_where_it_is_named() -> None:
    document = read("text: t\ninner: &x {number: 2}\neither: {a: *x}")
    assert document.either == {"a": Inner(number=2)}


def test_a_place_that_is_not_spelt_out_is_shown_where_its_block_stands() -> None:
    places = Places(FILE, {("a",): 3, ("a", "b"): 4})
    assert places.error(("a", "c", 1), "wrong.").problem == "m.yaml, line 3: a.c[1]: wrong."
    assert places.error((), "wrong.").problem == "m.yaml, line 1: wrong."


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except DataError as error:
        assert "m.yaml" in error.problem
    except UnicodeEncodeError:
        assert any("\ud800" <= sign <= "\udfff" for sign in text)
