"""The last look: every file of a home, byte by byte and as it is decoded, for ids that should be nowhere."""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import polars as pl
import pyarrow as pa

from feature_repo.warehouse import vault
from feature_repo.warehouse.owners.trace import equals
from feature_repo.warehouse.quality import measurement
from motherlode import audit, names
from motherlode.errors import DataError
from motherlode.settings import Settings

SHORTEST: Final = 5
"""Characters of an id that is looked for: a shorter one stands in any file by chance."""
DIGITS: Final = 9
"""Digits of an id of digits alone: a shorter one is the number of many a thing."""
_MONEY: Final = (names.AMOUNT, names.RETAIL_DISCOUNT, names.COUPON_DISCOUNT)
"""Columns of the layers above raw."""
MOST: Final = 4 << 30
"""Bytes of a home that is looked through unless it is asked for: about a minute."""
_PIECE: Final = 16 << 20
_ROWS: Final = 100_000
_EDGE: Final = "[^0-9A-Za-z_]"
_PARQUET: Final = (b"PAR1", b"PARE")
_GZIP: Final = b"\x1f\x8b"


def size(settings: Settings) -> int:
    """Bytes of all of a home's files."""
    return sum(path.stat().st_size for path in _files(settings))


def find(
    settings: Settings,
    outside_ids: Collection[str],
    keys: Collection[str],
    spared: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[str]:
    """The files below home that hold an id, in their names, their bytes, or what these decode to.

    Args:
        settings: whose home; its raw key.
        outside_ids: as the company has them.
        keys: join keys. Pseudonyms may stand in the audit log, which nobody can write anew.
        spared: Parquet file → columns whose values may equal an id: numbers are not looked for there, nor the file
            looked through as bytes.

    Returns:
        Paths below home; one that cannot be read is among them, with why. An id that says nothing by itself
        (`telling`) is looked for nowhere.
    """
    found = []
    for path in _files(settings):
        name = path.relative_to(settings.home).as_posix()
        wanted = {*outside_ids, *(() if name == audit.LOG and settings.identity.keyed else keys)}
        told = [each for each in sorted(wanted) if telling(each)]
        if not told:
            continue
        try:
            if _bytes_pattern(told).search(name.encode()) or _holds(settings, path, told, spared.get(name, ())):
                found.append(name)
        except FileNotFoundError:  # a server's own, that it has just replaced
            continue
        except (DataError, OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as error:
            # Half-written, damaged, of another key, or of somebody else: nobody can tell what is in it.
            why = error.problem if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            found.append(f"{name} cannot be read, so nobody can tell whether it holds them: {why}")
    return found


def telling(text: str) -> bool:
    """Whether an id is long enough to stand nowhere by chance."""
    return len(text) >= (DIGITS if text.isdigit() else SHORTEST)


def _files(settings: Settings) -> Iterator[Path]:
    return (path for path in sorted(settings.home.rglob("*")) if path.is_file() and not path.is_symlink())


def _holds(settings: Settings, path: Path, told: list[str], spared: Collection[str]) -> bool:
    pattern = _bytes_pattern(told)
    with path.open("rb") as file:
        start = file.read(4)
    if start in _PARQUET:
        # Another's times may stand in its bytes, too: what is decoded tells the columns apart.
        return (not spared and _raw(path, pattern)) or _decoded(settings, path, told, spared)
    if path.suffix == ".json" and path.parent == settings.home / measurement.FOLDER:
        return any(pattern.search(text.encode()) for text in _said(json.loads(path.read_bytes())))
    return _raw(path, pattern, packed=start.startswith(_GZIP))


def _said(figures: Any) -> Iterator[str]:
    """The texts of a JSON tree: its numbers are counts and amounts, and ids are texts above raw."""
    if isinstance(figures, str):
        yield figures
    elif isinstance(figures, dict):
        yield from figures
        figures = [*figures.values()]
    for each in figures if isinstance(figures, list) else ():
        yield from _said(each)


def _raw(path: Path, pattern: re.Pattern[bytes], *, packed: bool = False) -> bool:
    overlap, before = 4096, b""
    with gzip.open(path) if packed else path.open("rb") as file:
        while piece := file.read(_PIECE):
            if pattern.search(before + piece):
                return True
            before = piece[-overlap:]
    return False


def _decoded(settings: Settings, path: Path, told: list[str], spared: Collection[str]) -> bool:
    """Whether a Parquet file holds one in any text or number, in lists and structures too."""
    numbers = [int(each) for each in told if re.fullmatch(r"-?[1-9][0-9]{0,17}", each)]
    # In others' times a number is none; an id with a letter in it is one anywhere.
    sure = [each for each in told if not each.isdigit()]
    in_times = _text_pattern(sure) if sure else None
    above = settings.raw not in path.parents
    sought = {False: (_text_pattern(told), numbers), True: (in_times, list[int]())}
    with vault.reader(path, settings) as file:
        return any(
            _in_column(column, *sought[name in spared or (name in _MONEY and above)])
            for batch in file.iter_batches(_ROWS)
            for name, top in zip(batch.schema.names, batch.columns, strict=True)
            for column in _leaves([top])
        )


def _leaves(columns: Collection[Any]) -> Iterator[Any]:
    for column in columns:
        if pa.types.is_map(column.type):
            yield from _leaves([column.keys, column.items])
        elif pa.types.is_nested(column.type):
            yield from _leaves(column.flatten() if pa.types.is_struct(column.type) else [column.flatten()])
        else:
            yield column.dictionary if pa.types.is_dictionary(column.type) else column


def _in_column(column: Any, pattern: str | None, numbers: list[int]) -> bool:
    values = pl.Series(pl.from_arrow(column)).unique()
    if values.dtype == pl.String:
        return pattern is not None and bool(values.str.contains(pattern).any())
    if values.dtype.is_numeric() and numbers:  # pandas writes a column of ids that has a null as floats
        return bool(values.to_frame("x").select(equals("x", numbers).any()).item())
    return False


def _text_pattern(told: list[str]) -> str:
    return f"(?:^|{_EDGE})(?:{'|'.join(map(re.escape, told))})(?:$|{_EDGE})"


def _bytes_pattern(told: list[str]) -> re.Pattern[bytes]:
    """The ids as tokens, as they are and as JSON writes them."""
    spelled = {each for text in told for each in (text, json.dumps(text)[1:-1])}
    either = b"|".join(re.escape(each.encode()) for each in sorted(spelled))
    return re.compile(rb"(?<![0-9A-Za-z_])(?:" + either + rb")(?![0-9A-Za-z_])")
