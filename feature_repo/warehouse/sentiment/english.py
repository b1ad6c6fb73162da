"""English: VADER, a lexicon and rules (Hutto & Gilbert, ICWSM 2014); how well it does stands in `english.json`."""

from functools import cache

import polars as pl
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


def polarity(texts: pl.Series) -> pl.Series:
    """VADER's compound score of each text, Float32 from -1 to 1; null where a text has no Latin letter."""
    analyser = _analyser()
    readable = texts.str.contains(r"\p{Latin}")
    scores = [
        analyser.polarity_scores(text)["compound"] if judged else None
        for text, judged in zip(texts.to_list(), readable.to_list(), strict=True)
    ]
    return pl.Series(scores, dtype=pl.Float32)


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
