"""Look-ups: another source's row of equal key beside each row, and what becomes of the look-up's own rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from feature_repo.warehouse import raw
from feature_repo.warehouse.contract import LINE, QUARANTINE, ROW
from feature_repo.warehouse.duplicates import CONFLICT, UNIT, resolve
from feature_repo.warehouse.mapping.model import Join
from feature_repo.warehouse.state import Landed
from motherlode.errors import DataError
from motherlode.settings import Settings

UNUSED: Final = "no row refers to it"


@dataclass(frozen=True)
class LookUp:
    """A source that rows are looked up in, whole, by one key.

    Attributes:
        source: its name in the mapping.
        files: its landed files, by order.
        on: own columns of the key.
        rows: `_unit`, `_row`, `_line` and the source's columns, of every file.
        fates: `resolve` of the rows that share a key.
    """

    source: str
    files: Sequence[Landed]
    on: tuple[str, ...]
    rows: pl.DataFrame
    fates: pl.DataFrame

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """The source's columns."""
        return {name: dtype for name, dtype in self.rows.schema.items() if name not in (UNIT, ROW, LINE)}

    @property
    def partners(self) -> pl.DataFrame:
        """One row a key, its columns named `<source>.<column>`, the key besides as `_on0`, `_on1`, ..."""
        gone = self.fates.filter(pl.col("_fate").is_not_null()).select(UNIT, ROW)
        kept = self.rows.join(gone, on=[UNIT, ROW], how="anti", maintain_order="left")
        return kept.select(
            *(pl.col(name).alias(f"{self.source}.{name}") for name in self.schema),
            *(text_key(kept.schema[name], name).alias(f"_on{number}") for number, name in enumerate(self.on)),
        ).filter(pl.all_horizontal(pl.col(f"_on{number}").is_not_null() for number in range(len(self.on))))


def text_key(dtype: pl.DataType, column: str) -> pl.Expr:
    """A key column as text, so that 7 of one file meets "7" of another; Excel's 7.0 is 7."""
    value = pl.col(column)
    if dtype.is_float():
        return (
            pl.when(value == value.round(0))
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(value.cast(pl.String))
        )
    if dtype == pl.String:
        stripped = value.str.strip_chars()
        return pl.when(stripped != "").then(stripped)
    return value.cast(pl.String)


def pairs(join: Join) -> dict[str, str]:
    """Own column → the other's."""
    if isinstance(join.on, str):
        return {join.on: join.on}
    return dict(join.on) if isinstance(join.on, dict) else {column: column for column in join.on}


def load(settings: Settings, source: str, files: Sequence[Landed], on: Sequence[str]) -> LookUp:
    """Read a look-up whole.

    Raises:
        DataError: it lacks a column of its key, or was not landed.
    """
    if not files:
        raise DataError(f"The look-up {source!r} has no landed file.", "Correct its files in the mapping's `sources`.")
    own: dict[str, pl.DataType] = {UNIT: pl.UInt32(), ROW: pl.UInt32(), LINE: pl.UInt32()}
    # A file without a row has its columns all the same.
    frames = [pl.DataFrame(schema={**own, **raw.schema(settings, landed)}) for landed in files]
    frames += [
        batch.with_columns(pl.lit(unit, pl.UInt32).alias(UNIT))
        for unit, landed in enumerate(files)
        for batch in raw.batches(settings, landed)
    ]
    rows = pl.concat(frames, how="diagonal_relaxed")
    if missing := [column for column in on if column not in rows.columns]:
        there = ", ".join(column for column in rows.columns if column not in own)
        raise DataError(
            f"The look-up {source!r} has no column {missing[0]!r}; it has {there or 'none'}.",
            "Correct `on` of the mapping's `join`.",
        )
    return LookUp(source, tuple(files), tuple(on), rows, resolve(rows, on))


class LookUps:
    """Look-ups by source and key, each read once a load, when a row is first looked up in it.

    Args:
        settings: whose raw.
        files: a source's landed files, by order.
    """

    def __init__(self, settings: Settings, files: Callable[[str], Sequence[Landed]]) -> None:
        self._settings, self._files = settings, files
        self._known: dict[tuple[str, tuple[str, ...]], tuple[LookUp, pl.DataFrame]] = {}

    def of(self, join: Join) -> tuple[LookUp, pl.DataFrame]:
        """A join's look-up and its partners.

        Raises:
            DataError: as `load`.
        """
        name = (join.source, tuple(pairs(join).values()))
        if name not in self._known:
            look_up = load(self._settings, join.source, self._files(join.source), name[1])
            self._known[name] = (look_up, look_up.partners)
        return self._known[name]


def beside(frame: pl.DataFrame, look_up: LookUp, partners: pl.DataFrame, join: Join) -> pl.DataFrame:
    """The frame with the look-up's columns; a row without a partner gets nulls.

    Raises:
        DataError: the frame lacks a column of the key.
    """
    own = list(pairs(join))
    require(frame.columns, own, look_up.source)
    keyed = frame.with_columns(
        text_key(frame.schema[name], name).alias(f"_on{number}") for number, name in enumerate(own)
    )
    on = [f"_on{number}" for number in range(len(own))]
    return keyed.join(partners, on=on, how="left", maintain_order="left").drop(on)


def require(columns: Sequence[str], own: Sequence[str], source: str) -> None:
    """Check that a raw table has the columns of a look-up's key.

    Raises:
        DataError: one is missing.
    """
    if missing := [column for column in own if column not in columns]:
        known = ", ".join(column for column in columns if not column.startswith("_"))
        raise DataError(
            f"There is no column {missing[0]!r} to look {source!r} up by; there are {known}.",
            "Correct `on` of the mapping's `join`.",
        )


@dataclass(frozen=True)
class Accounted:
    """What became of the rows of a source that is looked up in alone.

    Attributes:
        used: rows that another row refers to.
        merged: `_unit`, `_row`, `_line`, `into_unit`, `into_row`, `into_line`, `rule`.
        rejected: rows of quarantine.
    """

    used: int
    merged: pl.DataFrame
    rejected: pl.DataFrame


def used(settings: Settings, look_up: LookUp, referring: Sequence[tuple[Landed, Join]]) -> pl.DataFrame:
    """The look-up's rows, `_unit` and `_row`, that a row of these files refers to by this key."""
    on = [f"_on{number}" for number in range(len(look_up.on))]
    wanted = pl.DataFrame(schema=dict.fromkeys(on, pl.String))
    for landed, join in referring:
        own = list(pairs(join))
        for batch in raw.batches(settings, landed, own):
            keys = batch.select(text_key(batch.schema[name], name).alias(on[n]) for n, name in enumerate(own))
            wanted = pl.concat([wanted, keys.unique()]).unique()
    keyed = look_up.rows.with_columns(
        text_key(look_up.rows.schema[name], name).alias(on[number]) for number, name in enumerate(look_up.on)
    )
    gone = look_up.fates.filter(pl.col("_fate").is_not_null())
    kept = keyed.join(gone, on=[UNIT, ROW], how="anti", maintain_order="left")
    return kept.join(wanted, on=on, how="semi", maintain_order="left").select(UNIT, ROW)


def account(settings: Settings, look_up: LookUp, referred: pl.DataFrame) -> Accounted:
    """Find every row of a look-up again.

    Args:
        settings: whose raw.
        look_up: by the key that tells its rows apart.
        referred: `_unit`, `_row` of those that a row refers to.
    """
    gone = look_up.fates.filter(pl.col("_fate").is_not_null())
    gone = gone.join(referred, on=[UNIT, ROW], how="anti", maintain_order="left")
    merged = gone.filter(pl.col("_fate") != CONFLICT).rename({"_fate": "rule"})
    conflicts = gone.filter(pl.col("_fate") == CONFLICT)
    unused = look_up.rows.join(
        pl.concat([gone.select(UNIT, ROW), referred]), on=[UNIT, ROW], how="anti", maintain_order="left"
    )
    remedy = f"Nothing, where it is not needed; else correct the key {', '.join(look_up.on)}."
    several = f"Keep one of the rows of equal {', '.join(look_up.on)}; the first was taken."
    malformed = [raw.malformed(settings, landed) for landed in look_up.files]
    rejected = [
        _quarantined(look_up, conflicts, CONFLICT, several),
        _quarantined(look_up, unused, UNUSED, remedy),
        *(_lines(look_up.source, landed, lines) for landed, lines in zip(look_up.files, malformed, strict=True)),
    ]
    columns = [UNIT, ROW, LINE, "into_unit", "into_row", "into_line", "rule"]
    return Accounted(referred.height, merged.select(columns), pl.concat(rejected))


def _quarantined(look_up: LookUp, rows: pl.DataFrame, rule: str, remedy: str) -> pl.DataFrame:
    files: Mapping[int, str] = {unit: landed.name for unit, landed in enumerate(look_up.files)}
    return rows.select(
        pl.lit(look_up.source).alias("table"),
        pl.col(UNIT).replace_strict(files, return_dtype=pl.String).alias("file"),
        pl.col(LINE).alias("line"),
        pl.col(ROW).alias("row"),
        pl.lit(look_up.on[0]).alias("column"),
        # The key may name a person; the line leads to it.
        pl.lit(None, pl.String).alias("value"),
        pl.lit(rule).alias("rule"),
        pl.lit(remedy).alias("remedy"),
    ).cast(QUARANTINE)


def _lines(source: str, landed: Landed, lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(
        pl.lit(source).alias("table"),
        pl.lit(landed.name).alias("file"),
        pl.col("line"),
        pl.lit(None, pl.UInt32).alias("row"),
        pl.lit("").alias("column"),
        pl.lit(None, pl.String).alias("value"),
        pl.col("rule"),
        pl.col("remedy"),
    ).cast(QUARANTINE)
