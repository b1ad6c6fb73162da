"""The door: every text to the scorer of its language, and null where there is none."""

import polars as pl

from feature_repo.warehouse import sentiment
from feature_repo.warehouse.sentiment import chinese, english, scorer


def test_each_text_is_scored_in_its_language_and_rows_stay_in_order() -> None:
    texts = ["I hate it", "很满意，推荐", None, "Très bon produit", "👍👍", "", "I hate it", "差评，退货"]
    scores, languages = sentiment.score(pl.Series(texts))
    assert languages.to_list() == ["en", "zh", None, "fr", None, None, "en", "zh"]
    assert scores.dtype == pl.Float32
    found = scores.to_list()
    assert [score is None for score in found] == [False, False, True, True, True, True, False, False]
    assert found[0] == found[6] == english.polarity(pl.Series(["I hate it"])).item()
    assert found[1] == chinese.polarity(pl.Series(["很满意，推荐"])).item()
    assert found[7] < 0 < found[1]


def test_a_stated_language_wins_and_what_is_no_code_is_found() -> None:
    texts = pl.Series(["gift", "gift", "gift", "很好"])
    scores, languages = sentiment.score(texts, pl.Series(["de", "EN-us", "English", None]))
    assert languages.to_list() == ["de", "en", "en", "zh"]
    assert scores[0] is None
    assert scores[1] == scores[2]


def test_a_text_in_another_script_than_its_stated_language_is_not_called_neutral() -> None:
    scores, _ = sentiment.score(pl.Series(["很差"]), pl.Series(["en"]))
    assert scores.to_list() == [None]


def test_no_texts_give_no_scores() -> None:
    scores, languages = sentiment.score(pl.Series([], dtype=pl.String))
    assert scores.dtype == pl.Float32
    assert languages.dtype == pl.String
    assert scores.len() == 0


def test_texts_of_nothing_but_nulls_are_scored_as_null() -> None:
    scores, languages = sentiment.score(pl.Series([None, None]), pl.Series([None, None]))
    assert scores.to_list() == languages.to_list() == [None, None]


def test_a_text_longer_than_what_is_read_is_scored_by_its_beginning() -> None:
    endless = "but good " * 200_000
    scores, _ = sentiment.score(pl.Series([endless, endless[: scorer.LONGEST]]))
    assert scores[0] == scores[1]
