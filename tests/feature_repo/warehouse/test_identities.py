"""Outside ids into join keys, and what may be shown of an identifier."""

from pathlib import Path

import polars as pl
import pytest

from feature_repo.warehouse import identities, tables
from feature_repo.warehouse.identities import HIDDEN, open_identities
from feature_repo.warehouse.state import Part
from motherlode import names
from motherlode.identity import Identity
from motherlode.settings import Settings

KEYED = Identity("a secret of enough bytes")
TEXTS = pl.Series("column", ["b", None, "a", "b"])


def test_join_keys_keep_rows_and_nulls_and_each_is_recorded_once(tmp_path: Path) -> None:
    place = Settings(home=tmp_path, raw_key="a raw key of enough bytes")
    known = open_identities(place, KEYED, ())
    b, a = KEYED.join_key("b"), KEYED.join_key("a")
    assert known.join_keys(TEXTS).to_list() == [b, None, a, b]
    [part] = recorded = known.write(place, ())
    assert tables.identities(place, recorded).rows() == [("a", a), ("b", b)]
    again = open_identities(place, KEYED, recorded)
    again.join_keys(TEXTS)
    assert again.write(place, recorded) == recorded
    again.join_keys(pl.Series(["c"]))
    more = again.write(place, recorded)
    assert more[0] == part
    assert tables.identities(place, more)[names.OUTSIDE_ID].to_list() == ["a", "b", "c"]


def test_many_small_records_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "_MOST_PARTS", 2)
    place = Settings(home=tmp_path)
    recorded: tuple[Part, ...] = ()
    for text in ("c", "b", "a"):
        known = open_identities(place, KEYED, recorded)
        known.join_keys(pl.Series([text]))
        recorded = known.write(place, recorded)
    assert len(recorded) == 1
    assert tables.identities(place, recorded)[names.OUTSIDE_ID].to_list() == ["a", "b", "c"]


def test_without_a_key_an_identifier_of_the_companys_own_is_left_out(tmp_path: Path) -> None:
    plain = open_identities(Settings(home=tmp_path), Identity(), ())
    assert plain.join_keys(TEXTS).to_list() == ["b", None, "a", "b"]
    assert plain.pseudonyms(names.VISITOR_ID, TEXTS).to_list() == ["b", None, "a", "b"]
    assert plain.pseudonyms("email", TEXTS).to_list() == [None] * 4
    assert plain.shown("email", "identifier", TEXTS).to_list() == [HIDDEN, None, HIDDEN, HIDDEN]
    assert plain.shown("email", "none", TEXTS).to_list() == ["b", None, "a", "b"]
    assert plain.hides(["email"])
    assert not plain.hides([names.CUSTOMER_ID, names.VISITOR_ID])


def test_with_a_key_nothing_of_an_identifier_is_shown_but_its_pseudonym(tmp_path: Path) -> None:
    keyed = open_identities(Settings(home=tmp_path), KEYED, ())
    assert keyed.shown(names.CUSTOMER_ID, "identifier", TEXTS)[0] == KEYED.join_key("b")
    assert keyed.pseudonyms("email", TEXTS)[0] == keyed.shown("email", "identifier", TEXTS)[0] != "b"
    assert keyed.pseudonyms("email", TEXTS)[0] != keyed.pseudonyms("phone", TEXTS)[0]
    assert keyed.hides([names.CUSTOMER_ID])
    assert keyed.write(Settings(home=tmp_path), ()) == (), "a rejected row's customer may be none"


def test_a_customers_id_in_the_wrong_column_is_shown_by_its_join_key(tmp_path: Path) -> None:
    keyed = open_identities(Settings(home=tmp_path), KEYED, ())
    keyed.join_keys(pl.Series(["PERS-79093", "12"]))
    strayed = pl.Series(["PERS-79093", "12", "abc", None])
    assert keyed.shown("amount", "none", strayed).to_list() == [KEYED.join_key("PERS-79093"), "12", "abc", None]
    plain = open_identities(Settings(home=tmp_path), Identity(), ())
    plain.join_keys(pl.Series(["PERS-79093"]))
    assert plain.shown("amount", "none", strayed).equals(strayed)


def test_what_is_sensitive_is_never_shown_and_with_a_key_only_what_is_harmless(tmp_path: Path) -> None:
    cells = pl.Series(["anna@example.org", "12,5x", None])
    for identity in (KEYED, Identity()):
        known = open_identities(Settings(home=tmp_path), identity, ())
        assert known.shown("health", "sensitive", cells).to_list() == [HIDDEN, HIDDEN, None]
    keyed = open_identities(Settings(home=tmp_path), KEYED, ())
    assert keyed.shown("amount", "none", cells, pl.Float64()).to_list() == [HIDDEN, "12,5x", None]
    assert keyed.shown("channel", "none", cells).to_list() == [HIDDEN, "12,5x", None]
