"""The last look: every file of a home, byte by byte and as it is decoded, for ids that should be nowhere."""

import gzip
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from feature_repo.warehouse import vault
from motherlode import audit
from motherlode.errors import DataError
from motherlode.settings import Settings

SHORTEST: Final = 5
"""Characters of an id that is looked for: a shorter one stands in any file by chance."""
DIGITS: Final = 9
"""Digits of an id of digits alone: a shorter one is the number of many a thing."""
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


def find(settings: Settings, outside_ids: Collection[str], keys: Collection[str]) -> list[str]:
    """The files below home that hold an id, in their names, their bytes, or what these decode to.

    Args:
        settings: whose home; its raw key.
        outside_ids: as the company has them.
        keys: join keys. Pseudonyms may stand in the audit log, which nobody can write anew.

    Returns:
        Paths below home. An id that says nothing by itself (`telling`) is looked for nowhere.
    """
    found = []
    for path in _files(settings):
        name = path.relative_to(settings.home).as_posix()
        wanted = {*outside_ids, *(() if name == audit.LOG and settings.identity.keyed else keys)}
        told = [each for each in sorted(wanted) if telling(each)]
        if told and (_bytes_pattern(told).search(name.encode()) or _holds(settings, path, told)):
            found.append(name)
    return found


def telling(text: str) -> bool:
    """Whether an id is long enough to stand nowhere by chance."""
    return len(text) >= (DIGITS if text.isdigit() else SHORTEST)


def _files(settings: Settings) -> Iterator[Path]:
    return (path for path in sorted(settings.home.rglob("*")) if path.is_file() and not path.is_symlink())


def _holds(settings: Settings, path: Path, told: list[str]) -> bool:
    pattern = _bytes_pattern(told)
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start in _PARQUET:
            return _raw(path, pattern) or _decoded(settings, path, told)
        return _raw(path, pattern, packed=start.startswith(_GZIP))
    except FileNotFoundError:  # a server's own, that it has just replaced
        return False


def _raw(path: Path, pattern: re.Pattern[bytes], *, packed: bool = False) -> bool:
    overlap, before = 4096, b""
    with gzip.open(path) if packed else path.open("rb") as file:
        while piece := file.read(_PIECE):
            if pattern.search(before + piece):
                return True
            before = piece[-overlap:]
    return False


def _decoded(settings: Settings, path: Path, told: list[str]) -> bool:
    """Whether a Parquet file holds one in any text or number, in lists and structures too."""
    pattern = _text_pattern(told)
    numbers = [int(each) for each in told if re.fullmatch(r"-?[1-9][0-9]{0,17}", each)]
    try:
        with vault.reader(path, settings) as file:
            return any(
                _in_column(column, pattern, numbers)
                for batch in file.iter_batches(_ROWS)
                for column in _leaves(batch.columns)
            )
    except DataError:  # half-written, or under a key of before: what can be read was, byte by byte
        return False


def _leaves(columns: Collection[Any]) -> Iterator[Any]:
    for column in columns:
        if pa.types.is_nested(column.type):
            yield from _leaves(column.flatten() if pa.types.is_struct(column.type) else [column.flatten()])
        else:
            yield column.dictionary if pa.types.is_dictionary(column.type) else column


def _in_column(column: Any, pattern: str, numbers: list[int]) -> bool:
    values = pl.Series(pl.from_arrow(column)).unique()
    if values.dtype == pl.String:
        return bool(values.str.contains(pattern).any())
    if values.dtype.is_integer() and numbers:
        return bool(values.cast(pl.Int64, strict=False).is_in(numbers).any())
    return False


def _text_pattern(told: list[str]) -> str:
    return f"(?:^|{_EDGE})(?:{'|'.join(map(re.escape, told))})(?:$|{_EDGE})"


def _bytes_pattern(told: list[str]) -> re.Pattern[bytes]:
    """The ids as tokens, as they are and as JSON writes them."""
    spelled = {each for text in told for each in (text, json.dumps(text)[1:-1])}
    either = b"|".join(re.escape(each.encode()) for each in sorted(spelled))
    return re.compile(rb"(?<![0-9A-Za-z_])(?:" + either + rb")(?![0-9A-Za-z_])")
