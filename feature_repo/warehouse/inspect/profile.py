"""A file's columns as they are: what is filled, how many values differ, what the values look like."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import time
from typing import Final, Literal

import msgspec
import polars as pl

from feature_repo.warehouse.inspect import values, vocabulary

Kind = Literal["empty", "time", "clock", "number", "truth", "email", "phone", "url", "prose", "word", "list"]
"""What a column's values look like; `clock` is a time of day without its day, `word` a short text: a name, a code."""

DIFFERENT: Final = 2000
"""Different values that are looked at, of a column."""
REMEMBERED: Final = 200_000
"""Different values that are kept to be compared with other files' columns."""
_PROSE: Final = 25
"""Mean length from which a text of several words is prose."""
_SUBJECTS: Final = frozenset(("customer", "item", "order", "campaign", "coupon", "text", "store", "session", "visitor"))
_STAND_IN: Final = re.compile(r"-1|-?9{2,}")
_WHOLE: Final = re.compile(r"-?\d+")


@dataclass(frozen=True)
class ColumnProfile:
    """One raw column.

    Attributes:
        name, dtype: as landed.
        rows, filled, different: counts over what was read; `filled` leaves out empty texts and unknowns.
        kind: what its values look like.
        times, numbers, truths: what is known of such values.
        unknowns: texts that say that nothing is known.
        typical: the commonest values, at most five.
        remembered: different values as text, to be compared with other columns; empty for prose.
        length: mean length of its texts.
        clocks: formats of times of day.
        stand_in: a number, such as 999, that seems to stand for nothing.
        subject: what the rows of its file are: of a column that is called `id` and no more, whose.
        within: the list that it was an element of, with the point behind; its name says nothing of the column.
        head: whether it stands beside a list whose elements are the rows.
    """

    name: str
    dtype: pl.DataType
    rows: int
    filled: int
    different: int
    kind: Kind
    times: values.Times | None
    numbers: values.Numbers | None
    truths: Mapping[str, bool] | None
    unknowns: tuple[str, ...]
    typical: tuple[str, ...]
    remembered: frozenset[str]
    length: float
    clocks: tuple[str, ...] = ()
    stand_in: str | None = None
    subject: frozenset[str] = frozenset()
    within: str = ""
    head: bool = False

    @property
    def unique(self) -> bool:
        """Whether its values tell rows apart, some wrong rows allowed."""
        return self.filled > 0 and self.different >= 0.97 * self.filled and self.filled >= 0.9 * self.rows

    @property
    def meaning(self) -> vocabulary.Meaning:
        said = vocabulary.read(self.name.removeprefix(self.within))
        bare = said.concepts == {"id"} and not said.unknown
        return vocabulary.Meaning(said.concepts | self.subject, ()) if bare else said

    @property
    def whole(self) -> bool:
        return self.dtype.is_integer() or (self.numbers is not None and self.numbers.whole)

    @property
    def typed(self) -> bool:
        """Whether the file itself states the type, so that no format need be found."""
        return self.dtype != pl.String


@dataclass(frozen=True)
class FileProfile:
    """One source: a file, or several of equal columns.

    Attributes:
        source: its name in the proposal.
        files: paths as the mapping shall write them.
        columns: by name, in their order.
        rows: rows read; all of them, or the first ones of a large file.
        how: what was found about the file: encoding, delimiter, decimal sign, sheet.
        complete: whether all rows were read.
        frame: the rows.
        options: what the source must state to be read so: lines above the header, a sheet, a query.
        notes: what a person should know.
        of: the source whose rows it has too, read in another way: a row for each element of a list.
    """

    source: str
    files: tuple[str, ...]
    columns: Mapping[str, ColumnProfile]
    rows: int
    how: Mapping[str, str]
    complete: bool = True
    frame: pl.DataFrame = field(default_factory=pl.DataFrame, repr=False, compare=False)
    options: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    of: str = ""

    @property
    def concepts(self) -> frozenset[str]:
        """What the file's name says."""
        return vocabulary.read(self.source).concepts


def of_frame(
    source: str, files: Sequence[str], frame: pl.DataFrame, how: Mapping[str, str], complete: bool = True
) -> FileProfile:
    """Profile a source's rows, `frame`, raw columns alone."""
    said = vocabulary.read(source).concepts
    subject = (said & _SUBJECTS) | ({"customer"} if "account" in said else set())
    found = {name: replace(column(frame[name]), subject=subject) for name in frame.columns}
    columns = _agreed(found)
    return FileProfile(source, tuple(files), columns, frame.height, how, complete, frame)


def exploded(file: FileProfile, field: str, of: str) -> FileProfile:
    """A file whose rows are the elements of a list: what a name says there, and what stands beside the list.

    Args:
        field: the list.
        of: the source that has a row for each object.
    """
    within = f"{field}."
    subject = vocabulary.read(field).concepts & (_SUBJECTS | {"line"})
    columns = {
        name: replace(it, within=within, subject=subject) if name.startswith(within) else replace(it, head=True)
        for name, it in file.columns.items()
    }
    return replace(file, columns=columns, of=of)


def column(series: pl.Series) -> ColumnProfile:
    """Profile one column."""
    texts = _texts(series)
    counted = texts.drop_nulls().value_counts(sort=True)
    head = counted.head(DIFFERENT)
    found: dict[str, int] = dict(zip(head[head.columns[0]], head["count"], strict=True))
    unknowns = tuple(text for text in found if text.strip().lower() in values.UNKNOWN)
    known = {text: count for text, count in found.items() if text not in unknowns}
    filled = len(texts) - texts.null_count() - sum(found[text] for text in unknowns)
    length = sum(map(len, known)) / len(known) if known else 0.0
    times = _times(series, known)
    numbers = _numbers(series, known, counted)
    clocks = values.clocks(known) if series.dtype in (pl.String, pl.Time) else ()
    truths = {"true": True, "false": False} if series.dtype == pl.Boolean else values.truths(known)
    kind = "clock" if clocks else _kind(series, known, times, numbers, truths, length)
    kept = (
        frozenset[str]()
        if kind in ("prose", "list")
        else frozenset(counted[counted.columns[0]].head(REMEMBERED).to_list())
    )
    return ColumnProfile(
        series.name, series.dtype, len(series), filled, counted.height - len(unknowns), kind, times, numbers, truths,
        unknowns, tuple(text[:40] for text in list(known)[:5]), kept, length, clocks, _stand_in(known, kind),
    )  # fmt: skip


def _agreed(columns: dict[str, ColumnProfile]) -> dict[str, ColumnProfile]:
    """Where one column's days beyond the twelfth tell day from month, the file's other columns follow it."""
    told = [it.times.order for it in columns.values() if it.times is not None and it.times.witnesses]
    if len(set(told)) != 1:
        return columns
    return {
        name: replace(it, times=values.decided(it.times, told[0]))
        if it.times is not None and it.times.order == "either"
        else it
        for name, it in columns.items()
    }


def overlap(own: ColumnProfile, other: ColumnProfile) -> float:
    """The share of a column's different values that another column has too."""
    return len(own.remembered & other.remembered) / len(own.remembered) if own.remembered else 0.0


def _texts(series: pl.Series) -> pl.Series:
    """Values as text, empty ones as null; 12.0 as 12, so that keys compare."""
    if series.dtype.is_nested():
        return pl.Series(series.name, [None if value is None else str(value) for value in series], dtype=pl.String)
    if series.dtype.is_float():
        whole = series.drop_nulls()
        if len(whole) and bool((whole == whole.round()).all()) and float(whole.abs().max() or 0) < 2**53:  # type: ignore[arg-type]
            series = series.cast(pl.Int64)
    text = series.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _times(series: pl.Series, known: values.Counted) -> values.Times | None:
    if series.dtype == pl.Date:
        return values.Times((), "year first", 0, True, False)
    if isinstance(series.dtype, pl.Datetime):
        midnight = series.null_count() < len(series) and bool((series.drop_nulls().dt.time() == time(0)).all())
        return values.Times((), "year first", 0, midnight, series.dtype.time_zone is not None)
    return values.times(known) if series.dtype == pl.String else None


def _numbers(series: pl.Series, known: values.Counted, counted: pl.DataFrame) -> values.Numbers | None:
    if series.dtype.is_numeric() and series.null_count() < len(series):
        low, high = float(series.min()), float(series.max())  # type: ignore[arg-type]
        return values.Numbers(None, None, series.dtype.is_integer(), low, high, float((series < 0).sum()) / len(series))
    found = values.numbers(known) if series.dtype == pl.String else None
    if found is None:
        return None
    texts = counted.select(text=counted.columns[0], count="count")
    if found.decimal is None and texts.height > DIFFERENT:
        # The commonest have no fraction; a rarer one tells the sign.
        signed = texts.filter(pl.col("text").str.contains(r"[.,]")).head(DIFFERENT)
        found = values.numbers({**known, **dict(signed.iter_rows())}) or found
    return values.over_all(found, texts)


def _kind(
    series: pl.Series,
    known: values.Counted,
    times: values.Times | None,
    numbers: values.Numbers | None,
    truths: Mapping[str, bool] | None,
    length: float,
) -> Kind:
    if not known:
        return "empty"
    if series.dtype.is_nested() or values.mostly(known, _is_list):
        return "list"
    if times is not None and (numbers is None or not times.formats or len(known) >= 3):
        return "time"
    if truths is not None:
        return "truth"
    if "phone" in vocabulary.read(series.name).concepts and values.mostly(known, values.PHONE.fullmatch):
        return "phone"
    if numbers is not None and not _leading_zeros(known):
        return "number"
    for kind, pattern in (("email", values.EMAIL), ("url", values.URL), ("phone", values.PHONE)):
        if values.mostly(known, pattern.fullmatch):
            return kind  # type: ignore[return-value]
    several = values.share(known, lambda text: " " in text or any(ord(letter) > 0x2E7F for letter in text)) > 0.6
    chinese = values.share(known, lambda text: any(ord(letter) > 0x2E7F for letter in text)) > 0.3
    return "prose" if several and length >= (8 if chinese else _PROSE) else "word"


def _is_list(text: str) -> bool:
    """Whether it is a JSON list."""
    if not (text.startswith("[") and text.endswith("]")):
        return False
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _stand_in(known: values.Counted, kind: Kind) -> str | None:
    """A number of nines, or -1, that is common and far from all others."""
    commonest, *others = known or ("",)
    if kind != "number" or not others or _STAND_IN.fullmatch(commonest) is None:
        return None
    alone = commonest.startswith("-") and not any(text.startswith("-") for text in others)
    far = all(2 * abs(int(text)) < abs(int(commonest)) for text in others if _WHOLE.fullmatch(text))
    return commonest if alone or far else None


def _leading_zeros(known: values.Counted) -> bool:
    """`00123` is a key or a postcode, not a number."""
    return values.share(known, lambda text: len(text) > 1 and text[0] == "0" and text.isdigit()) > 0.01
