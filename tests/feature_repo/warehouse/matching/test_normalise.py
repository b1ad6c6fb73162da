"""Each field in one spelling, and null where there is nothing to compare."""

import polars as pl
import pytest

from feature_repo.warehouse.matching import normalise


def compared(column: str, *texts: str | None) -> pl.DataFrame:
    ids = [f"{number:02d}" for number in range(len(texts))]
    return normalise.people(
        pl.DataFrame({"customer_id": ids, column: list(texts)}, schema_overrides={column: pl.String})
    )


def test_phones_agree_whatever_their_prefix_and_fillers_are_none() -> None:
    same = ("+49 171 1234567", "0049 (0)171-1234567", "0171/1234567", "1711234567.0", "(0171) 123 45 67 ext. 12")
    assert set(compared("phone", *same)["phone"]) == {"711234567"}
    none = ("", "000000000", "12345", "1111111111", "123456789", "call me", None)
    assert compared("phone", *none)["phone"].null_count() == len(none)
    assert compared("phone", "+86 138 0013 8000")["phone"].item() == "800138000"


def test_e_mails_lose_case_tags_and_dots_of_gmail_alone() -> None:
    found = compared(
        "email", "Anna.S+shop@GoogleMail.com ", "<anna.s@web.de>", "mailto:a@b.co", "none@none.de", "a@b", "@"
    )
    assert found["email"].to_list() == ["annas@gmail.com", "anna.s@web.de", "a@b.co", None, None, None]


def test_birth_dates_are_iso_whatever_their_form() -> None:
    found = compared("birth_date", "1980-03-01", "01.03.1980", "1980/03/01", "19800301", "03/31/1980", "1980年3月1日")
    assert found["birth_date"].to_list() == ["1980-03-01"] * 4 + ["1980-03-31", "1980-03-01"]
    none = ("1900-01-01", "1970-01-01", "31.02.1980", "1880-01-01", "2500-01-01", "80", "")
    assert compared("birth_date", *none)["birth_date"].null_count() == len(none)
    assert compared("birth_date", "1980-03-01 00:00:00")["birth_date"].item() == "1980-03-01"


def test_addresses_agree_whatever_the_abbreviation_and_the_order() -> None:
    for same in (
        ("Hauptstraße 5", "Hauptstr. 5", "5 Haupt Strasse", "HAUPTSTRASSE 5", "Haupt-Str. 5"),
        ("12 Main Street Apt 4", "12 Main St. #4", "Main Street 12, Unit 4"),
        ("建国路88号", "建国路 88 号"),
    ):
        found = compared("address", *same)
        assert found.select("street", "numbers").n_unique() == 1, same
    other = compared("address", "Hauptstr. 5", "Hauptstr. 5a", "Hauptstr. 55", "Parkstr. 5")
    assert other.select("street", "numbers").n_unique() == 4


def test_postcodes_agree_without_country_zeros_and_the_last_four() -> None:
    assert set(compared("postcode", "01067", "1067", "D-01067", "1067.0")["postcode"]) == {"1067"}
    assert set(compared("postcode", "12345-6789", "12345")["postcode"]) == {"12345"}
    assert set(compared("postcode", "SW1A 1AA", "sw1a1aa")["postcode"]) == {"sw1a1aa"}


@pytest.mark.parametrize(
    ("name", "given", "family", "suffix"),
    [
        ("Anna Schmidt", "anna", "schmidt", None),
        ("Schmidt, Anna", "anna", "schmidt", None),
        ("Dr. Anna von der Heide", "anna", "vonderheide", None),
        ("van Gogh", None, "vangogh", None),
        ("John Smith Jr.", "john", "smit", "junior"),  # th is t, as in Katherine and Katerine
        ("Smith Jr., John", "john", "smit", "junior"),
        ("Henry Tudor VIII", "henrytudor", "viii", None),
        ("王伟", "伟", "王", None),
        ("欧阳娜娜", "娜娜", "欧阳", None),
        ("Madonna", None, "madonna", None),
        ("O'Neill, Zoë", "zo", "oneill", None),
        ("Amartya Sen", "amartya", "sen", None),
    ],
)
def test_names_are_split_into_given_family_and_suffix(
    name: str, given: str | None, family: str, suffix: str | None
) -> None:
    row = compared("name", name).row(0, named=True)
    assert (row["given"], row["family"], row["suffix"]) == (given, family, suffix)


def test_a_key_that_a_crowd_shares_finds_no_pairs() -> None:
    shared = compared("name", *["Wang Wei"] * (normalise.BLOCK + 1))
    assert shared["key_full"].null_count() == len(shared)
    assert compared("name", *["Wang Wei"] * normalise.BLOCK)["key_full"].null_count() == 0


def test_a_number_follows_the_customer_ids_not_the_rows() -> None:
    people = pl.DataFrame({"customer_id": ["b", "a", None, "b"], "name": ["B", "A", "X", "later"]})
    found = normalise.people(people)
    assert found.select("id", "customer_id", "full").rows() == [(0, "a", "a"), (1, "b", "b")]


def test_a_birth_date_that_a_form_writes_by_itself_is_none() -> None:
    dates = compared("birth_date", *["1980-01-01"] * (normalise.DEFAULT + 1), "1980-01-02")["birth_date"]
    assert dates.drop_nulls().to_list() == ["1980-01-02"]
    assert compared("birth_date", *["1980-01-01"] * normalise.DEFAULT)["birth_date"].null_count() == 0
