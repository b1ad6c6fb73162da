"""Raw under another key: every file of raw that the current raw key does not open is written again under it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.warehouse import files, state, vault
from feature_repo.warehouse.state import State
from motherlode import audit
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

_ROWS: Final = 250_000
"""Rows read at a time: what bounds the memory."""


def reencrypt(settings: Settings, on_file: Callable[[str], None] | None = None) -> int:
    """Bring all of raw under the current raw key: plain files, and those of the previous key.

    Each file is replaced in one step, so a job that is killed goes on where it was when it is run again. Both hashes
    of every file are in the audit log, the new one in the state.

    Args:
        settings: the raw key, and the previous one.
        on_file: told each file's path below home.

    Returns:
        How many files were written again.

    Raises:
        DataError: there is no raw key; a file is under a key that is neither, or cannot be read.
    """
    if settings.raw_key is None:
        raise DataError(
            "There is no raw key to encrypt by.",
            "Give the new one by MOTHERLODE_RAW_KEY, and the old one, if any, by MOTHERLODE_PREVIOUS_RAW_KEY.",
        )
    current, count = vault.key_id(settings.raw_key), 0
    for path in raw_files(settings):
        if vault.key_id_of(path) != current:
            _rewrite(settings, path)
            count += 1
        if on_file is not None:
            on_file(path.relative_to(settings.home).as_posix())
    _note(settings, current)
    return count


def raw_files(settings: Settings) -> list[Path]:
    """Every Parquet file of raw that is whole, the state's and others."""
    return sorted(path for path in settings.raw.rglob("*.parquet") if not path.name.startswith("."))


def _rewrite(settings: Settings, path: Path) -> None:
    with files.writing(path) as scratch:
        with vault.reader(path, settings) as old:
            schema, rows = old.schema_arrow, old.metadata.num_rows
            with vault.writer(scratch, schema, settings) as new:
                for batch in vault.batches(old, path, _ROWS):
                    new.write_batch(batch)
        with vault.reader(scratch, settings) as written:
            if written.metadata.num_rows != rows or not written.schema_arrow.equals(schema):
                raise DataError(f"{path} does not read back as it was.", "It is kept as it was; check the disk.")
        scratch.chmod(0o644)
        scratch.replace(path)


def _note(settings: Settings, key_id: str) -> None:
    """Write the files' new hashes to the audit log, then to the state."""
    known = state.read(settings)
    now = {path: sha256(settings.home / path) for path in _paths(known)}
    for path, was in _paths(known).items():
        if was != now[path]:
            audit.record(settings, "encrypt", path, key=key_id, sha256_before=was, sha256=now[path])
    if now != _paths(known):
        raw = (msgspec.structs.replace(each, sha256_raw=now.get(each.path, each.sha256_raw)) for each in known.raw)
        identities = (msgspec.structs.replace(each, sha256=now[each.path]) for each in known.identities)
        state.write(settings, msgspec.structs.replace(known, raw=tuple(raw), identities=tuple(identities)))


def _paths(known: State) -> dict[str, str]:
    """Every file of raw that the state names → the hash that it knows."""
    landed = {each.path: each.sha256_raw for each in known.raw if each.path}
    return landed | {part.path: part.sha256 for part in known.identities}
