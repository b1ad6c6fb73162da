"""Labels that models, and callers of the API, give customers: beside those of the warehouse's table `tags`.

Each gift is one Parquet file under `<home>/given/`, written once: `000007-<digest of its rows>.parquet`. A later gift
that has a label's key (customer, label, origin, begin) replaces it, which is how a label is withdrawn: the same row
with its `ended_at`. Files are never changed, but where a customer's key is (`rename`) or one is erased (`forget`).
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from feature_repo.warehouse import files, tables
from feature_repo.warehouse.contract import LANDED_AT, RULES, SCHEMAS, TABLES
from motherlode import names
from motherlode.errors import DataError
from motherlode.identity import Identity
from motherlode.lock import exclusive
from motherlode.settings import Settings

FOLDER: Final = "given"
_LOCK: Final = "given"
_SCHEMA: Final = SCHEMAS[names.TAGS]
_KEY: Final = TABLES[names.TAGS].key
_TIMES: Final = (names.EVENT_TIMESTAMP, names.ENDED_AT)
_DIGITS: Final = 6
_NUMBER: Final = "_number"


def give(settings: Settings, frame: pl.DataFrame) -> Path | None:
    """Give customers labels; a gift that was made before is not made twice.

    Args:
        settings: whose home.
        frame: `customer_id` (the join key), `tag`, `origin` (person, model or rule), `event_timestamp` (from when it is
            on; Datetime with a zone); and as wished `confidence` (0 to 1; 1), `version` and `ended_at` (null).

    Returns:
        The gift's file; None where the frame has no row.

    Raises:
        DataError: a column is missing, unknown or of another type; a row breaks a rule of `contract.RULES["tags"]`;
            two rows have one key; nobody knows a row's customer; nothing was loaded. Nothing is given then.
        StoreError: another process gives at this moment.
    """
    rows = _checked(frame)
    if rows.is_empty():
        return None
    _of_known(settings, rows)
    told = _digest(rows)
    with exclusive(settings, _LOCK):
        known = files_of(settings)
        for path in known:
            if path.stem.partition("-")[2] == told:
                return path
        number = int(known[-1].stem.partition("-")[0]) + 1 if known else 1
        return _write(settings.home / FOLDER / f"{number:0{_DIGITS}d}-{told}.parquet", rows)


def scan(settings: Settings) -> pl.LazyFrame:
    """Every label that was given, by the columns of `contract.SCHEMAS["tags"]`, each as its last gift has it."""
    gifts = [
        pl.scan_parquet(path, glob=False).with_columns(pl.lit(number, dtype=pl.Int64).alias(_NUMBER))
        for number, path in enumerate(files_of(settings))
    ]
    if not gifts:
        return pl.LazyFrame(schema=_SCHEMA)
    newest = pl.col(_NUMBER).max().over(_KEY)
    return pl.concat(gifts).filter(pl.col(_NUMBER) == newest).drop(_NUMBER)


def digest(settings: Settings) -> str:
    """SHA-256 of all that was given: another one wherever `scan` gives other rows."""
    return hashlib.sha256("\n".join(path.name for path in files_of(settings)).encode()).hexdigest()


def rename(settings: Settings, identity: Identity, outside_ids: Sequence[int | str]) -> int:
    """Know customers by the current pseudonym key in every gift; returns how many files were written anew.

    Args:
        settings: whose home.
        identity: with the keys that customers were known by.
        outside_ids: every customer.
    """
    new, *older = identity.every_join_key_of(outside_ids)
    pairs = {old: now for keys in older for old, now in zip(keys, new, strict=True) if old != now}
    written = 0
    with exclusive(settings, _LOCK):
        for path in files_of(settings):
            rows = pl.read_parquet(path, glob=False)
            named = rows.with_columns(pl.col(names.CUSTOMER_ID).replace(pairs)).sort(_KEY)
            if not named.equals(rows):
                _write(path.with_name(f"{path.stem.partition('-')[0]}-{_digest(named)}.parquet"), named)
                path.unlink()
                written += 1
    return written


def forget(settings: Settings, customers: Collection[str]) -> dict[Path, Path]:
    """Take customers out of every gift; the file that held them → the one that holds the others, where there are any.

    Args:
        settings: whose home.
        customers: their join keys, under every pseudonym key.

    Raises:
        StoreError: another process gives at this moment.
    """
    gone, written = pl.Series(sorted(customers), dtype=pl.String), {}
    with exclusive(settings, _LOCK):
        for path in files_of(settings):
            rows = pl.read_parquet(path, glob=False)
            others = rows.filter(~pl.col(names.CUSTOMER_ID).is_in(gone.implode()))
            if others.height == rows.height:
                continue
            if others.height:
                number = path.stem.partition("-")[0]
                written[path] = _write(path.with_name(f"{number}-{_digest(others)}.parquet"), others)
            path.unlink()
    return written


def files_of(settings: Settings) -> list[Path]:
    """In the order of the gifts. A rename that was killed leaves two of one number: the next one ends it."""
    return sorted((settings.home / FOLDER).glob(f"{'[0-9]' * _DIGITS}-*.parquet"))


def _write(path: Path, rows: pl.DataFrame) -> Path:
    with files.writing(path) as scratch:
        rows.write_parquet(scratch, compression="zstd")
        scratch.chmod(0o644)
        files.sync([scratch])
        scratch.replace(path)
        files.sync([path.parent])
    return path


def _digest(rows: pl.DataFrame) -> str:
    """Of the rows' content, whatever order they came in."""
    return hashlib.sha256(rows.write_csv().encode()).hexdigest()[:16]


def _checked(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as the contract has them, sorted by key."""
    columns = TABLES[names.TAGS].columns
    needed = [name for name, it in columns.items() if it.required and it.default is None]
    if missing := [name for name in needed if name not in frame.columns]:
        raise DataError(f"Labels without {', '.join(missing)}.", f"Give {', '.join(needed)}.")
    if unknown := [name for name in frame.columns if name not in columns]:
        raise DataError(f"Labels have no {', '.join(unknown)}.", f"Known: {', '.join(columns)}.")
    for name in _TIMES:
        dtype = frame.schema.get(name)
        if dtype is not None and dtype != pl.Null and not (isinstance(dtype, pl.Datetime) and dtype.time_zone):
            raise DataError(f"The column {name!r} of labels is {dtype}.", "Give a Datetime with its time zone.")
    told = frame.with_columns(pl.lit(it.default).alias(name) for name, it in columns.items() if name not in frame)
    try:
        rows = told.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"Labels cannot be read: {error}.", f"Give {dict(_SCHEMA)}.") from error
    _rules(rows)
    if (twice := int(rows.select(_KEY).is_duplicated().sum())) > 0:
        raise DataError(f"{twice} labels have a key that another one has.", f"Give {', '.join(_KEY)} once each.")
    return rows.sort(_KEY)


def _of_known(settings: Settings, rows: pl.DataFrame) -> None:
    known = tables.scan(settings, names.CUSTOMERS).select(names.CUSTOMER_ID).collect()
    unknown = rows.join(known, on=names.CUSTOMER_ID, how="anti").height
    if unknown:
        raise DataError(
            f"{unknown} of {rows.height} labels are of customers that nobody knows.",
            "Give the join key of customers that were loaded: `motherlode.identity` makes it of the company's id.",
        )


def _rules(rows: pl.DataFrame) -> None:
    """Hold the rows to the rules that a file of labels is held to."""
    landed = rows.with_columns(pl.lit(datetime.now(UTC)).cast(pl.Datetime("us", "UTC")).alias(LANDED_AT))
    for rule in RULES[names.TAGS]:
        broken = landed.with_row_index("row").filter(rule.broken.fill_null(value=False))
        if broken.height:
            row, value = broken["row"][0], broken[rule.column][0]
            told = "" if rule.column == names.CUSTOMER_ID else f", as {value!r}"
            raise DataError(f"Label {row + 1} of {rows.height}: {rule.column} {rule.name}{told}.", rule.remedy)
