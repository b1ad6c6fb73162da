"""English sentiment, and the figures that are published for it."""

import json
from pathlib import Path

import polars as pl

from feature_repo.warehouse.sentiment import english

FIGURES = Path(english.__file__).with_name("english.json")


def test_praise_is_above_a_complaint_and_a_plain_statement_between_them() -> None:
    praise, plain, complaint = english.polarity(
        pl.Series(["I love it, excellent quality!", "It came on Monday.", "Terrible. It broke and I hate it."])
    ).to_list()
    assert -1 <= complaint < -0.5 < plain < 0.5 < praise <= 1


def test_negation_turns_praise_round() -> None:
    good, bad = english.polarity(pl.Series(["The service was good.", "The service was not good."])).to_list()
    assert bad < 0 < good


def test_what_has_no_letter_cannot_be_judged() -> None:
    assert english.polarity(pl.Series(["12345", "", None], dtype=pl.String)).to_list() == [None, None, None]


def test_the_figures_name_their_texts_and_their_source() -> None:
    figures = json.loads(FIGURES.read_text())
    assert figures["source"]["package"].startswith("vaderSentiment==")
    assert figures["product reviews"]["texts"] > 3000
    assert 0.7 < figures["product reviews"]["auc"] < 1
