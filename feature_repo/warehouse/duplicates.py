"""Rows of one key, within a file and between files: which of them live on, and in which.

Rows are told apart by the hash of their key; what hashes alike is then compared by its values. Both is done in passes
over ranges of the hash, so that memory is bounded however many rows there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from feature_repo.warehouse.contract import LINE, MERGED, QUARANTINE, ROW
from feature_repo.warehouse.parts import KEY
from feature_repo.warehouse.state import Cleaned
from motherlode.settings import Settings

UNIT: Final = "_unit"
"""UInt32: which of a table's clean files a row is of, by landing order."""
MONTH: Final = "_month"
"""Int32: year × 12 + month - 1 of the table's time; null for a table without months."""

TWICE: Final = "landed twice"
REPLACED: Final = "replaced by a later file"
OUTDATED: Final = "replaced by a later row"
CONFLICT: Final = "two rows of one key"

_KEYS_A_PASS: Final = 128_000_000
"""Hashes that are sorted at once: 1 GB, and as much again while sorting."""
_ROWS_A_PASS: Final = 4_000_000
"""Whole rows that are compared at once."""

_DROPS: Final = pl.Schema({UNIT: pl.UInt32(), ROW: pl.UInt32(), MONTH: pl.Int32()})
_MERGED: Final = pl.Schema(
    {
        UNIT: pl.UInt32(),
        ROW: pl.UInt32(),
        LINE: pl.UInt32(),
        "into_unit": pl.UInt32(),
        "into_row": pl.UInt32(),
        "into_line": pl.UInt32(),
        "rule": pl.Enum([TWICE, REPLACED, OUTDATED]),
    }
)
_REJECTED: Final = pl.Schema({UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32(), "value": pl.String()})


@dataclass(frozen=True)
class Unit:
    """A clean file, as far as this module needs it.

    Attributes:
        number: of the table's clean files, by landing order.
        cleaned: what became of a landed file.
    """

    number: int
    cleaned: Cleaned

    @property
    def name(self) -> str:
        """The source's file."""
        return self.cleaned.name


@dataclass(frozen=True)
class Duplicates:
    """Rows of a table that do not go on.

    Attributes:
        drops: `_unit`, `_row`, `_month`: every merged and every rejected row, ascending.
        merged: `_unit`, `_row`, `_line`, `into_unit`, `into_row`, `into_line`, `rule`.
        rejected: `_unit`, `_row`, `_line`, `value`: rows that differ from the one of their key in the same file.
    """

    drops: pl.DataFrame
    merged: pl.DataFrame
    rejected: pl.DataFrame

    def of_month(self, month: int | None) -> pl.DataFrame:
        """The drops of one month: `_unit`, `_row`."""
        return self.drops.filter(pl.col(MONTH).eq_missing(pl.lit(month, pl.Int32))).drop(MONTH)


NONE: Final = Duplicates(pl.DataFrame(schema=_DROPS), pl.DataFrame(schema=_MERGED), pl.DataFrame(schema=_REJECTED))
"""No duplicates."""


def find(
    settings: Settings,
    units: Sequence[Unit],
    key: tuple[str, ...],
    time: str | None,
    *,
    keep: bool,
    last: bool = False,
) -> Duplicates:
    """Find a table's duplicates.

    Args:
        settings: whose clean layer.
        units: the table's clean files, by landing order.
        key: the columns that tell rows apart; empty: the whole content.
        time: the column that says a row's month; None for a table without months.
        keep: whether rows that are equal in everything are all kept.
        last: whether the last row of a key wins within a file too.
    """
    if keep and not key:
        return _joined([])
    return _joined([_resolved(rows, key, time, keep=keep, last=last) for rows in _candidates(settings, units)])


def ledger(table: str, merged: pl.DataFrame, names: Mapping[int, str]) -> Iterator[pl.DataFrame]:
    """Merged rows as rows of the merge ledger, in slices.

    Args:
        table: the canonical table.
        merged: see `Duplicates.merged`; `rule` may be any text.
        names: unit → the source's file.
    """
    files = pl.DataFrame({UNIT: list(names), "file": list(names.values())}, schema={UNIT: pl.UInt32, "file": pl.String})
    for part in merged.iter_slices(_ROWS_A_PASS // 4):
        named = part.join(files, on=UNIT, how="left", maintain_order="left").join(
            files.rename({UNIT: "into_unit", "file": "into_file"}), on="into_unit", how="left", maintain_order="left"
        )
        yield (
            named.rename({LINE: "line", ROW: "row"})
            .select(pl.lit(table).alias("table"), *(pl.col(column) for column in MERGED if column != "table"))
            .cast(MERGED)
        )


def quarantined(table: str, rejected: pl.DataFrame, names: Mapping[int, str], key: Sequence[str]) -> pl.DataFrame:
    """Rejected rows as rows of quarantine."""
    remedy = f"Keep one of the rows of equal {', '.join(key)}, or correct the key; the first was taken."
    files = pl.DataFrame({UNIT: list(names), "file": list(names.values())}, schema={UNIT: pl.UInt32, "file": pl.String})
    return (
        rejected.join(files, on=UNIT, how="left", maintain_order="left")
        .select(
            pl.lit(table).alias("table"),
            pl.col("file"),
            pl.col(LINE).alias("line"),
            pl.col(ROW).alias("row"),
            pl.lit(key[-1] if key else "").alias("column"),
            pl.col("value"),
            pl.lit(CONFLICT).alias("rule"),
            pl.lit(remedy).alias("remedy"),
        )
        .cast(QUARANTINE)
    )


def resolve(
    rows: pl.DataFrame, key: Sequence[str], *, keep: bool = False, last: bool = False, carry: Sequence[str] = ()
) -> pl.DataFrame:
    """What becomes of rows of which some share a key.

    The first row of a key within a file stands for the file; later ones that equal it merge, others are rejected. Of
    several files the last one's row wins, and the earliest row that is equal to it, without another between, lives on.

    Args:
        rows: `_unit`, `_row`, `_line` and content, ordered by unit and row; `_key`, a hash of the key, where known.
        key: columns; empty: all of the content. Rows of no key at all are told apart.
        keep: whether rows that are equal in everything are all kept.
        last: whether the last row of a key wins within a file too, as it does between files.
        carry: columns that the answer has besides.

    Returns:
        The rows that share a key: `_unit`, `_row`, `_line`, what is carried; `_fate`: null where a row lives on, else
        `TWICE`, `REPLACED`, `OUTDATED` or `CONFLICT`; `into_unit`, `into_row`, `into_line`: the row of its key that
        lives on.
    """
    content = [column for column in rows.columns if column not in (UNIT, ROW, LINE, KEY)]
    key = list(key) or content
    known = rows.filter(pl.any_horizontal(pl.col(key).is_not_null()))
    if KEY not in known.columns:
        known = known.with_columns(pl.struct(key).hash().alias(KEY))
    # By hash, and within it in landing order: the sort is stable.
    known = _several(known.sort(KEY, maintain_order=True))
    clash = known.filter(_begins(KEY).not_() & ~_equals(known, key, known.select(_previous())["previous"]))
    if clash.height:  # two keys of one hash: their rows by a number of the key itself
        clashing = pl.col(KEY).is_in(clash[KEY].implode())
        numbered = (
            known.filter(clashing)
            .with_row_index("_i")
            .with_columns(pl.col("_i").first().over(key).cast(pl.UInt64).alias(KEY))
        )
        apart = _several(numbered.drop("_i").sort(KEY, maintain_order=True))
        parts = (known.filter(~clashing), apart)
        found = [_fates(each, key, content, keep=keep, last=last, carry=carry) for each in parts]
        return pl.concat(found).sort(UNIT, ROW)
    return _fates(known, key, content, keep=keep, last=last, carry=carry).sort(UNIT, ROW)


def _several(known: pl.DataFrame) -> pl.DataFrame:
    """Rows, sorted by hash, whose hash another row has too."""
    hashed = pl.col(KEY)
    return known.filter(((hashed == hashed.shift(1)) | (hashed == hashed.shift(-1))).fill_null(False))


def _fates(
    known: pl.DataFrame, key: Sequence[str], content: Sequence[str], *, keep: bool, last: bool, carry: Sequence[str]
) -> pl.DataFrame:
    """`resolve` for rows that are sorted so that a key's rows follow each other, in landing order."""
    number = pl.int_range(pl.len(), dtype=pl.UInt32)
    # Where the last row wins, every row stands for itself, as if it came in a file of its own.
    first_of_key, first_of_file = _begins(KEY), pl.lit(True) if last else _begins(KEY, UNIT)
    last_of_key = (pl.col(KEY) != pl.col(KEY).shift(-1)).fill_null(True)
    at = known.select(
        number.alias("row"),
        pl.when(first_of_key).then(number).forward_fill().alias("key"),
        pl.when(first_of_file).then(number).forward_fill().alias("file"),
        last_of_key.alias("ends"),
    ).with_columns(pl.when("ends").then("file").backward_fill().alias("last_file"))
    whole = set(key) == set(content)  # rows of one key are equal in everything
    in_file = pl.repeat(True, known.height, eager=True) if whole else _equals(known, content, at["file"])
    winning = (
        pl.repeat(True, known.height, eager=True) if whole else _equals(known, content, at["last_file"], at["file"])
    )
    stands = at["row"] == at["file"]
    at = at.with_columns(stands=stands, in_file=in_file, winning=winning)
    # One of a key before is a row before, and as good as none.
    other = pl.when(pl.col("stands") & ~pl.col("winning")).then(pl.col("row").cast(pl.Int64)).forward_fill()
    at = at.with_columns(pl.when("ends").then(other.fill_null(-1)).backward_fill().alias("other"))
    after = pl.col("stands") & (pl.col("row") > pl.col("other"))
    at = at.with_columns(pl.when(after).then("row").backward_fill().alias("survivor"))
    at = at.with_columns(pl.col("survivor").gather("key"))
    fate = (
        pl.when(~pl.col("in_file"))
        .then(pl.lit(CONFLICT))
        .when(pl.col("row") == pl.col("survivor"))
        .then(None)
        .when(~pl.col("winning"))
        .then(pl.lit(REPLACED))
        .when(pl.lit(keep))
        .then(None)
        .otherwise(pl.lit(TWICE))
    )
    into = at["survivor"]
    within = known[UNIT] == known[UNIT].gather(into)
    outdated = pl.when(pl.lit(last) & within & (pl.col("_fate") == REPLACED)).then(pl.lit(OUTDATED))
    return known.select(
        UNIT,
        ROW,
        LINE,
        *carry,
        at.select(fate.alias("_fate")).select(outdated.otherwise(pl.col("_fate")).alias("_fate"))["_fate"],
        known[UNIT].gather(into).alias("into_unit"),
        known[ROW].gather(into).alias("into_row"),
        known[LINE].gather(into).alias("into_line"),
    )


def _begins(*columns: str) -> pl.Expr:
    """Where a row differs from the one before in any of the columns, of which none is null."""
    return pl.any_horizontal(pl.col(column) != pl.col(column).shift(1) for column in columns).fill_null(True)


def _previous() -> pl.Expr:
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    return (number - 1).clip(lower_bound=0).cast(pl.UInt32).alias("previous")


def _equals(rows: pl.DataFrame, columns: Sequence[str], other: pl.Series, one: pl.Series | None = None) -> pl.Series:
    """Whether rows equal others in every column, nulls being equal.

    Args:
        rows: all of them.
        columns: which.
        other: numbers of the others, one for each row.
        one: numbers of the rows to compare them with; the rows themselves where left out.
    """
    equal = pl.repeat(True, rows.height if one is None else len(one), eager=True)
    for name in columns:
        column = rows[name]
        equal &= (column if one is None else column.gather(one)).eq_missing(column.gather(other))
    return equal


def month_of(time: str) -> pl.Expr:
    """A time's month, see `MONTH`."""
    year, month = pl.col(time).dt.year().cast(pl.Int32), pl.col(time).dt.month().cast(pl.Int32)
    return (year * 12 + month - 1).alias(MONTH)


def _candidates(settings: Settings, units: Sequence[Unit]) -> Iterator[pl.DataFrame]:
    """Whole rows whose hash occurs more than once, all rows of a hash together, by unit and row."""
    for hashes in _repeated(settings, units):
        wanted = hashes.to_frame().lazy()
        frames = [
            _scan(settings, unit)
            .with_columns(pl.lit(unit.number, pl.UInt32).alias(UNIT))
            .join(wanted, on=KEY, how="semi")
            .collect(engine="streaming")
            for unit in units
            if unit.cleaned.clean is not None
        ]
        yield pl.concat(frames, how="diagonal").sort(UNIT, ROW)


def _repeated(settings: Settings, units: Sequence[Unit]) -> Iterator[pl.Series]:
    """Hashes that occur more than once, in groups of so many rows as are compared at once."""
    total = sum(unit.cleaned.clean.rows for unit in units if unit.cleaned.clean is not None)
    passes = max(1, -(-total // _KEYS_A_PASS))
    step = -(-(2**64) // passes)
    for number in range(passes):
        low, high = number * step, min((number + 1) * step, 2**64) - 1
        # File by file: one plan of thousands of files takes Polars a minute to make.
        plans = [_scan(settings, unit).select(KEY) for unit in units if unit.cleaned.clean is not None]
        if not plans:
            return
        if passes > 1:
            plans = [plan.filter(pl.col(KEY).is_between(low, high)) for plan in plans]
        ordered = pl.concat([plan.collect(engine="streaming")[KEY] for plan in plans]).sort()
        again = (ordered == ordered.shift(1)) | (ordered == ordered.shift(-1))
        counts = ordered.filter(again.fill_null(False)).to_frame().group_by(KEY, maintain_order=True).len()
        del ordered, again
        share = (counts["len"].cum_sum() - counts["len"]) // _ROWS_A_PASS
        for _, group in counts.with_columns(share=share).group_by("share", maintain_order=True):
            yield group[KEY]


def _resolved(rows: pl.DataFrame, key: tuple[str, ...], time: str | None, *, keep: bool, last: bool) -> Duplicates:
    month = month_of(time) if time is not None else pl.lit(None, pl.Int32).alias(MONTH)
    # Nothing tells a file's two entries of a mapping apart but their unit: they are two files.
    carry = dict.fromkeys([*key, *([time] if time is not None else [])])
    known = resolve(rows, key, keep=keep, last=last, carry=list(carry)).with_columns(month)
    gone = known.filter(pl.col("_fate").is_not_null())
    value = pl.concat_str(
        [pl.col(column).cast(pl.String) for column in key] or [pl.lit("")], separator=", ", ignore_nulls=True
    )
    merged = gone.filter(pl.col("_fate") != CONFLICT).rename({"_fate": "rule"})
    rejected = gone.filter(pl.col("_fate") == CONFLICT).with_columns(value.alias("value"))
    return Duplicates(
        gone.select(_DROPS.names()).cast(_DROPS),
        merged.select(_MERGED.names()).cast(_MERGED),
        rejected.select(_REJECTED.names()).cast(_REJECTED),
    )


def _joined(found: Sequence[Duplicates]) -> Duplicates:
    """One, in the rows' order: passes go by hash."""
    drops = pl.concat([pl.DataFrame(schema=_DROPS), *(each.drops for each in found)])
    merged = pl.concat([pl.DataFrame(schema=_MERGED), *(each.merged for each in found)])
    rejected = pl.concat([pl.DataFrame(schema=_REJECTED), *(each.rejected for each in found)])
    return Duplicates(drops.sort(UNIT, ROW), merged.sort(UNIT, ROW), rejected.sort(UNIT, ROW))


def _scan(settings: Settings, unit: Unit) -> pl.LazyFrame:
    assert unit.cleaned.clean is not None
    return pl.scan_parquet(settings.home / unit.cleaned.clean.path, glob=False)
