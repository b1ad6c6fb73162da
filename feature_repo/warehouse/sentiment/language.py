"""A text's language: a company's code for it, or what its script and its commonest words tell."""

from collections.abc import Mapping
from typing import Final

import polars as pl

ENGLISH: Final = "en"
CHINESE: Final = "zh"
JAPANESE: Final = "ja"
KOREAN: Final = "ko"

_LONG_CODES: Final[Mapping[str, str]] = {
    "eng": ENGLISH,
    "zho": CHINESE,
    "chi": CHINESE,
    "cmn": CHINESE,
    "jpn": JAPANESE,
    "kor": KOREAN,
    "deu": "de",
    "ger": "de",
    "fra": "fr",
    "fre": "fr",
    "spa": "es",
    "ita": "it",
    "por": "pt",
    "nld": "nl",
    "dut": "nl",
}
"""ISO 639-2 and 639-3 → 639-1."""

_WORDS: Final[Mapping[str, str]] = {
    ENGLISH: "the and is was it this that not with have has had you for are but very of to my they were be i a an in on"
    " no so as do at all good bad great",
    "de": "der das und ist nicht ich sehr mit ein eine es auch aber für den dem zu wir auf im gut nie kein keine gutes"
    " guter gute schlecht schnell wieder",
    "fr": "le les et est pas je très avec un une du que mais dans ce nous sur au été c'est bon bien rien mauvais",
    "es": "el los las y es muy con un una que pero para por lo mi del se bien está fue bueno buena malo mala nada",
    "it": "il lo gli e è non molto con un una che ma per di del mi sono ho questo della bene buono ottimo",
    "pt": "os e é não muito com um uma mas para em por da meu na foi bom boa produto ótimo",
    "nl": "de het een en ik zeer niet voor dat goed heel erg te ook slecht snel maar",
}
"""Language → words that its texts are full of; none of another language's is common in English."""

_ALIEN: Final = r"[àâäáãåæçéèêëíìîïñóòôöõøœúùûüýÿßąćęłńśźżčďěňřšťůžğışőű]"
"""Letters that English writes in a few loan words at most."""


def code(stated: pl.Series) -> pl.Series:
    """ISO 639-1 of codes such as `EN`, `en-GB`, `zh_Hant`, `eng`; null for what is no code."""
    subtag = stated.cast(pl.String).str.strip_chars().str.to_lowercase().str.extract(r"^([a-z]{2,3})(?:[-_].*)?$")
    short = subtag.replace(_LONG_CODES)
    return short.set(short.str.len_chars() != 2, None)


def find(texts: pl.Series) -> pl.Series:
    """The language of each text, ISO 639-1; null where it has no letters, or none that tell.

    Han characters alone are Chinese; with kana among them, Japanese. Where Latin words outnumber them, the text is what
    its Latin words are: the language whose common words it has the most of; English where it has none of any and is
    plain ASCII.
    """
    frame = pl.DataFrame({_TEXT: texts.cast(pl.String).str.to_lowercase()})
    text = pl.col(_TEXT)
    counted = frame.select(
        text.str.count_matches(r"\p{Han}").alias(CHINESE),
        text.str.count_matches(_KANA).alias(JAPANESE),
        text.str.count_matches(r"\p{Hangul}").alias(KOREAN),
        text.str.count_matches(r"\p{Latin}+").alias(_LATIN),
        text.str.count_matches(r"\p{L}").alias(_LETTERS),
        text.str.count_matches(r"\p{Latin}").alias(_LATIN_LETTERS),
        text.str.contains(_ALIEN).alias(_IS_ALIEN),
        *(text.str.count_matches(_any_of(words)).alias(f"{_WORD} {name}") for name, words in _WORDS.items()),
    )
    han, kana, hangul, latin = (pl.col(name) for name in (CHINESE, JAPANESE, KOREAN, _LATIN))
    eastern = han + kana + hangul
    other = pl.col(_LETTERS) - pl.col(_LATIN_LETTERS) - eastern
    found = (
        pl.when((eastern == 0) & (latin == 0))
        .then(None)
        .when(other > eastern + pl.col(_LATIN_LETTERS))
        .then(None)
        .when(eastern >= latin)
        .then(
            pl.when(hangul > han + kana)
            .then(pl.lit(KOREAN))
            .when(kana > 0)
            .then(pl.lit(JAPANESE))
            .otherwise(pl.lit(CHINESE))
        )
        .otherwise(_latin())
    )
    return counted.select(found).to_series()


_TEXT: Final = "text"
_LATIN: Final = "latin"
_LETTERS: Final = "letters"
_LATIN_LETTERS: Final = "latin letters"
_IS_ALIEN: Final = "alien"
_WORD: Final = "words of"
_KANA: Final = r"[\p{Hiragana}\p{Katakana}&&[^の]]"
"""But for the one that Chinese notes are decorated with; hardly a Japanese sentence has no other."""


def _any_of(words: str) -> str:
    return rf"\b(?:{'|'.join(words.split())})\b"


def _latin() -> pl.Expr:
    """The language with the most common words; of two with equally many, English, then the order of `_WORDS`."""
    counts = {name: pl.col(f"{_WORD} {name}") for name in _WORDS}
    most = pl.max_horizontal(counts.values())
    found = pl.lit(None, pl.String)
    for name in reversed(tuple(_WORDS)):
        found = pl.when(counts[name] == most).then(pl.lit(name)).otherwise(found)
    without = pl.when(pl.col(_IS_ALIEN)).then(None).otherwise(pl.lit(ENGLISH))
    return pl.when(most == 0).then(without).otherwise(found)
