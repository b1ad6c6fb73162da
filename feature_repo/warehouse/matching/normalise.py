"""People's fields in one spelling, and the keys by which pairs are found.

Nothing here decides who is whom: every function turns one column of text into comparable columns of text, null
where there is nothing to compare.
"""

import functools
from typing import Final

import polars as pl

from feature_repo.warehouse.matching import words
from motherlode import names

NAME, FIRST_NAME, LAST_NAME = "name", "first_name", "last_name"
EMAIL, PHONE, BIRTH_DATE = "email", "phone", "birth_date"
ADDRESS, POSTCODE, CITY = "address", "postcode", "city"
COLUMNS: Final = (NAME, FIRST_NAME, LAST_NAME, EMAIL, PHONE, ADDRESS, POSTCODE, CITY, BIRTH_DATE)
"""What people may be compared by."""

ID: Final = "id"
"""A person's number in the order of the customer ids: the answer depends on no row order."""
CROWD: Final = 10
"""An e-mail or a phone that more customers than this have is nobody's: a shop's own, a call centre's, a filler."""
DEFAULT: Final = 20
DEFAULT_SHARE: Final = 2e-3
"""A birth date that this share of customers have, and more than `DEFAULT`, is what a form writes when left alone."""
BLOCK: Final = 60
"""A key that more customers than this share says nothing: their pairs aren't looked at by that key."""
KNOWN: Final = 5
KNOWN_SHARE: Final = 5e-5
"""A given name that this share of customers have, and at least `KNOWN`, is a name and no typing error of another."""
COMMON: Final = 20
COMMON_SHARE: Final = 1e-3
RARE: Final = 2
"""A given name that no more than so many have may be a typing error of one that `COMMON` or more have."""
_ONE_DIGIT: Final = f"^(?:{'|'.join(f'{digit}+' for digit in range(10))})$"
_HAN: Final = r"\p{Han}"
_DATES: Final = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y年%m月%d日")


def people(frame: pl.DataFrame) -> pl.DataFrame:
    """Everything that is compared, a row each customer, sorted by id.

    Args:
        frame: `customer_id` and any of `COLUMNS`; whatever type a column has, its text is taken. Of several rows of one
            customer the first is taken; rows without a customer are left out.

    Returns:
        `id` (Int64), `customer_id`; of the name `full`, `script`, `given`, `given_first`, `given_tokens`,
        `given_known`, `given_common`, `given_rare`, `family`, `family_tokens`, `suffix`; `email`, `email_local`,
        `phone`, `birth_date`, `street`, `numbers`, `postcode`, `city`; and `KEYS`. Text, but for lists and flags.
    """
    unique = frame.filter(pl.col(names.CUSTOMER_ID).is_not_null()).unique(
        names.CUSTOMER_ID, keep="first", maintain_order=True
    )
    texts = unique.sort(names.CUSTOMER_ID).select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias(ID),
        names.CUSTOMER_ID,
        *(
            (pl.col(column).cast(pl.String) if column in frame.columns else pl.lit(None, pl.String)).alias(column)
            for column in COLUMNS
        ),
    )
    parts = _name_parts(texts).with_columns(
        *_email(pl.col(EMAIL)),
        _phone(pl.col(PHONE)).alias(PHONE),
        *_address(pl.col(ADDRESS)),
        _postcode(pl.col(POSTCODE)).alias(POSTCODE),
        _nothing(fold(pl.col(CITY)).str.replace_all(r"[^\p{L}]", "")).alias(CITY),
        _birth_date(pl.col(BIRTH_DATE)).alias(BIRTH_DATE),
    )
    return _keyed(
        _names(parts).with_columns(
            _uncrowded(EMAIL, CROWD),
            _uncrowded(PHONE, CROWD),
            _uncrowded(BIRTH_DATE, max(DEFAULT, int(DEFAULT_SHARE * len(parts)))),
        )
    ).drop(ADDRESS, NAME, FIRST_NAME, LAST_NAME)


def fold(text: pl.Expr) -> pl.Expr:
    """Lower case without accents, full-width forms or runs of spaces; `ß` as `ss`, `ue` as the `u` that `ü` becomes."""
    plain = text.str.normalize("NFKC").str.to_lowercase().str.replace_many(_LETTERS).str.normalize("NFKD")
    plain = plain.str.replace_all(r"\p{M}", "").str.normalize("NFC").str.replace_all(r"([aou])e", "${1}")
    return plain.str.replace_all(r"\s+", " ").str.strip_chars()


def _nothing(text: pl.Expr) -> pl.Expr:
    """Null where nothing is left."""
    return pl.when(text != "").then(text)


def _tokens(text: pl.Expr) -> pl.Expr:
    """A name's words, by single spaces."""
    plain = fold(text).str.replace_all(r"['’`´]", "").str.replace_all(r"[^\p{L}]+", " ")
    plain = plain.str.replace_all("ph", "f", literal=True).str.replace_all("th", "t", literal=True)
    return plain.str.strip_chars()


def _without(text: pl.Expr, some: tuple[str, ...]) -> pl.Expr:
    pattern = rf"\b(?:{'|'.join(some)})\b"
    return text.str.replace_all(pattern, " ").str.replace_all(r"\s+", " ").str.strip_chars()


def _name_parts(texts: pl.DataFrame) -> pl.DataFrame:
    """Adds `_given`, `_family`, words by single spaces; Chinese names without spaces."""
    whole = _tokens(pl.col(NAME).str.replace(r"^([^,]+),\s*(.+)$", "${2} \u0001${1}"))
    comma = pl.col(NAME).str.contains(r"^[^,]+,\s*\S")
    structured = pl.col(FIRST_NAME).is_not_null() | pl.col(LAST_NAME).is_not_null()
    han = pl.col(NAME).str.contains(_HAN)
    chinese = pl.col(NAME).str.normalize("NFKC").str.replace_many(dict.fromkeys(words.CHINESE_TITLES, ""))
    chinese = chinese.str.replace_all(rf"[^{_HAN}]", "")
    compound = "|".join(words.COMPOUND_FAMILIES)
    latin = _without(whole, words.TITLES)
    particles = "|".join(words.PARTICLES)
    split = rf"^(?:(.*?)\s+)??((?:(?:{particles})\s+)*\S+)$"
    suffix = rf"\b({'|'.join(words.SUFFIXES)})$"
    tail = pl.coalesce(pl.col(LAST_NAME), pl.col(NAME).str.replace(r"^([^,]+),\s*(.+)$", "${1}"))
    bare = latin.str.replace(suffix, "").str.strip_chars()
    return texts.with_columns(
        pl.when(structured)
        .then(_without(_tokens(pl.col(FIRST_NAME)), words.TITLES))
        .when(han)
        .then(chinese.str.replace(rf"^(?:{compound}|.)", ""))
        .when(comma)
        .then(_without(_tokens(pl.col(NAME).str.extract(r"^[^,]+,\s*(.+)$")), words.TITLES))
        .otherwise(bare.str.extract(split, 1))
        .alias("_given"),
        pl.when(structured)
        .then(_without(_tokens(pl.col(LAST_NAME)), words.TITLES))
        .when(han)
        .then(chinese.str.extract(rf"^({compound}|.)"))
        .when(comma)
        .then(_without(_tokens(pl.col(NAME).str.extract(r"^([^,]+),")), words.TITLES))
        .otherwise(bare.str.extract(split, 2))
        .alias("_family"),
        _without(_tokens(pl.coalesce(tail, pl.col(NAME))), words.TITLES)
        .str.extract(suffix)
        .replace_strict(words.SUFFIXES, default=None)
        .alias("suffix"),
    )


def _names(parts: pl.DataFrame) -> pl.DataFrame:
    """From `_given` and `_family`: what names are compared by."""
    han = pl.concat_str("_given", "_family", ignore_nulls=True).str.contains(_HAN)
    trimmed = parts.with_columns(
        _nothing(
            pl.when(han)
            .then(pl.col(column).str.replace_all(" ", "", literal=True))
            .otherwise(pl.col(column).str.replace(rf"\b({'|'.join(words.SUFFIXES)})$", "").str.strip_chars())
        ).alias(column)
        for column in ("_given", "_family")
    )
    letters = pl.concat_str("_family", "_given", separator=" ", ignore_nulls=True)
    tokens = (
        pl.when(han)
        .then(letters.str.replace_all(" ", "", literal=True).str.split(""))
        .otherwise(letters.str.split(" "))
    )
    given_tokens = pl.col("_given").str.split(" ").list.eval(pl.element().replace(_nicknames()))
    named = trimmed.with_columns(
        _nothing(tokens.list.sort().list.join(" ")).alias("full"),
        pl.when(letters != "").then(pl.when(han).then(pl.lit("han")).otherwise(pl.lit("alphabet"))).alias("script"),
        pl.col("_given").str.replace_all(" ", "", literal=True).alias("given"),
        given_tokens.alias("given_tokens"),
        given_tokens.list.first().alias("given_first"),
        pl.col("_family").str.replace_all(" ", "", literal=True).alias("family"),
        pl.col("_family").str.split(" ").alias("family_tokens"),
    ).drop("_given", "_family")
    count = pl.when(pl.col("given").is_not_null()).then(pl.len().over("given"))
    return named.with_columns(
        (count >= max(KNOWN, int(KNOWN_SHARE * len(parts)))).fill_null(False).alias("given_known"),
        (count >= max(COMMON, int(COMMON_SHARE * len(parts)))).fill_null(False).alias("given_common"),
        (count <= RARE).fill_null(False).alias("given_rare"),
    )


@functools.cache
def _nicknames() -> dict[str, str]:
    """`words.NICKNAMES` in the spelling of tokens."""
    table = pl.DataFrame({"short": list(words.NICKNAMES), "name": list(words.NICKNAMES.values())})
    return dict(table.select(_tokens(pl.col("short")), _tokens(pl.col("name"))).iter_rows())


def _email(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The address without tags, Gmail's without dots too; and what stands before the @."""
    plain = text.str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s", "")
    plain = plain.str.replace(r"^mailto:", "").str.strip_chars("<>;,.\"'")
    found = plain.str.extract(r"^([^@]+@[^@]+\.[^@]+)$")
    domain = found.str.extract(r"@(.+)$").str.replace(r"^googlemail\.com$", "gmail.com")
    local = found.str.extract(r"^([^@+]+)")
    local = pl.when(domain == "gmail.com").then(local.str.replace_all(".", "", literal=True)).otherwise(local)
    local = pl.when(~local.is_in(list(words.NOBODY))).then(local)
    return pl.concat_str(local, pl.lit("@"), domain).alias(EMAIL), local.alias("email_local")


def _phone(text: pl.Expr) -> pl.Expr:
    """The last nine digits, so that a country's prefix is no matter; null where a number is none."""
    first = (
        text.str.normalize("NFKC").str.split(";").list.first().str.replace(r"(?i)\s*(?:ext|x|durchwahl)\.?\s*\d+$", "")
    )
    digits = first.str.replace(r"\.0$", "").str.replace_all(r"\(0\)", "").str.replace_all(r"\D", "")
    digits = digits.str.strip_chars_start("0")
    number = digits.str.slice(digits.str.len_chars().cast(pl.Int64).sub(9).clip(0))
    filler = number.is_in(["123456789", "12345678", "1234567", "987654321"]) | number.str.contains(_ONE_DIGIT)
    return pl.when((number.str.len_chars() >= 7) & ~filler).then(number)


def _address(text: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The street's words, sorted, and the house's numbers."""
    plain = fold(text).str.replace_all(r"[^\p{L}\d]+", " ")
    plain = plain.str.replace_all(r"(\p{Han})(\d)", "${1} ${2}").str.replace_all(r"(\d)(\p{Han})", "${1} ${2}")
    for pattern, short in words.STREETS:
        plain = plain.str.replace_all(pattern, short)
    numbers = plain.str.replace_all(r"(\d)\s+([a-z])\b", "${1}${2}").str.extract_all(r"\d+[a-z]?\b")
    letters = plain.str.replace_all(r"\d+\s?[a-z]?\b", " ").str.strip_chars().str.split(" ")
    street = letters.list.filter(pl.element() != "").list.sort().list.join("")
    return _nothing(street).alias("street"), _nothing(numbers.list.sort().list.join(" ")).alias("numbers")


def _postcode(text: pl.Expr) -> pl.Expr:
    plain = text.str.normalize("NFKC").str.to_lowercase().str.strip_chars().str.replace(r"^[a-z]{1,3}-(\d)", "${1}")
    plain = plain.str.replace(r"\.0$", "").str.replace(r"^(\d{5})-\d{4}$", "${1}").str.replace_all(r"[^a-z\d]", "")
    return _nothing(plain.str.strip_chars_start("0"))


def _birth_date(text: pl.Expr) -> pl.Expr:
    """ISO 8601; null where it is no date, lies outside 1900 to today, or is what systems write for none."""
    day = text.str.normalize("NFKC").str.strip_chars().str.replace(r"[T ]\d\d:.*$", "").str.replace(r"\.0$", "")
    dates = pl.coalesce(*(day.str.to_date(form, strict=False) for form in _DATES))
    iso = dates.dt.strftime("%Y-%m-%d")
    usable = dates.dt.year().is_between(1900, 2100) & ~iso.is_in(list(words.NO_BIRTH_DATES))
    return pl.when(usable).then(iso)


def _uncrowded(column: str, most: int) -> pl.Expr:
    return pl.when(pl.len().over(column) <= most).then(pl.col(column)).alias(column)


def _keyed(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `KEYS`, each null where more than `BLOCK` customers share it."""
    keyed = frame.with_columns(_joined(*parts).alias(key) for key, parts in _KEYS.items())
    return keyed.with_columns(
        pl.when(pl.col(key).is_not_null() & (pl.len().over(key) <= BLOCK)).then(pl.col(key)).alias(key) for key in KEYS
    )


def _joined(*parts: pl.Expr) -> pl.Expr:
    return pl.concat_str(*parts, separator="\u0001")


_PLACE: Final = pl.coalesce(POSTCODE, CITY)
_KEYS: Final = {
    "key_email": (pl.col(EMAIL),),
    "key_phone": (pl.col(PHONE),),
    "key_full_birth": (pl.col("full"), pl.col(BIRTH_DATE)),
    "key_given_birth": (pl.col("given_first"), pl.col(BIRTH_DATE)),
    "key_family_birth": (pl.col("family").str.head(3), pl.col(BIRTH_DATE)),
    "key_full_place": (pl.col("full"), _PLACE),
    "key_full": (pl.col("full"),),
    "key_family_place": (pl.col("family"), pl.col("given").str.head(1), _PLACE),
    "key_given_address": (pl.col("given").str.head(2), pl.col("street"), pl.col("numbers")),
    "key_family_address": (pl.col("family").str.head(3), pl.col("street").str.head(8), pl.col("numbers"), _PLACE),
}
KEYS: Final = tuple(_KEYS)
"""Two customers are looked at where they share one of these."""

_LETTERS: Final = {"ß": "ss", "æ": "a", "œ": "o", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "t", "ı": "i"}
