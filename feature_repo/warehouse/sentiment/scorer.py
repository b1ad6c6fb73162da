"""The one door: each text to the scorer of its language."""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl

from feature_repo.warehouse.sentiment import chinese, english, language
from motherlode import names

LONGEST: Final = 5_000
"""Characters of a text that are read. What a note says it has said by then, and VADER's time grows with the square."""

_SCORERS: Final[Mapping[str, Callable[[pl.Series], pl.Series]]] = {
    language.ENGLISH: english.polarity,
    language.CHINESE: chinese.polarity,
}

LANGUAGES: Final = tuple(_SCORERS)
"""The languages with a scorer, ISO 639-1."""


def score(texts: pl.Series, languages: pl.Series | None = None) -> tuple[pl.Series, pl.Series]:
    """Sentiment and language of every text.

    Args:
        texts: N texts; null is no text.
        languages: N codes, `en`, `EN`, `en-GB`, `zh_Hant`, ...; where there is none, or one that is no code, the
            language is found from the text.

    Returns:
        `sentiment`: Float32 from -1 (bad) to 1 (good); null where there is no text, where its language has no scorer
        or is not known, and where the scorer finds nothing that it can judge (a phone number, emojis alone).
        `language`: ISO 639-1; null where it is not known.
    """
    read = texts.cast(pl.String).str.slice(0, LONGEST)
    spoken = language.find(read)
    if languages is not None:
        stated = language.code(languages)
        spoken = stated.zip_with(stated.is_not_null(), spoken)
    spoken = spoken.alias(names.LANGUAGE)
    sentiment = pl.Series(names.SENTIMENT, [None], dtype=pl.Float32).new_from_index(0, read.len())
    for code, polarity in _SCORERS.items():
        rows = (spoken == code).fill_null(value=False).arg_true()
        if rows.len():
            # Many notes are one of a few texts: each is scored once.
            distinct = read.gather(rows)
            unique = distinct.unique()
            scores = pl.DataFrame({_TEXT: unique, _SCORE: polarity(unique)})
            joined = distinct.to_frame(_TEXT).join(
                scores, on=_TEXT, how="left", nulls_equal=True, maintain_order="left"
            )
            sentiment = sentiment.scatter(rows, joined[_SCORE])
    return sentiment, spoken


_TEXT: Final = "text"
_SCORE: Final = "score"
