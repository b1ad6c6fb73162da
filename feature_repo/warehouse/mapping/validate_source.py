"""What a source's block may have wrong, and shows without opening it."""

import codecs
import zoneinfo
from datetime import datetime
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from feature_repo.warehouse.mapping import model, suggest
from feature_repo.warehouse.mapping.shape import Place, Places

_TEXTS: Final = ("csv", "tsv")
_FORMATS: Final = {
    "delimiter": _TEXTS,
    "quote": _TEXTS,
    "columns": _TEXTS,
    "encoding": (*_TEXTS, "jsonl"),
    "sheet": ("excel",),
    "explode": ("jsonl",),
}
"""Key → formats that it is for."""


def check_source(name: str, source: model.Source, places: Places) -> None:
    """Refuse a source that cannot be meant.

    Raises:
        DataError: its first fault.
    """
    place: Place = ("sources", name)
    if not name.isidentifier() or name.startswith("_"):
        remedy = "Use letters, digits and _, a letter first: SQL and folders are to hold the name."
        raise places.error(place, f"{name!r} is no name for a source.", remedy)
    _check_origin(source, place, places)
    _check_text(source, place, places)
    for key, formats in _FORMATS.items():
        if source.format is not None and source.format not in formats and getattr(source, key) is not None:
            remedy = f"It is for {' and '.join(formats)}: leave it out."
            raise places.error((*place, key), f"a source of format {source.format} has none.", remedy)
    if source.time_zone is not None:
        check_zone(source.time_zone, (*place, "time_zone"), places)


def check_zone(zone: str, place: Place, places: Places) -> None:
    """Refuse what is no time zone.

    Raises:
        DataError: there is none of that name.
    """
    known = zoneinfo.available_timezones()
    try:
        if zone in known:
            pl.select(pl.lit(datetime(2024, 1, 1)).dt.replace_time_zone(zone))
            return
    except PolarsError:
        known = known - {zone}
    match = suggest.nearest(zone, known) or suggest.nearest(zone.rpartition("/")[2], _cities(known))
    match = _cities(known).get(match, match) if match is not None else None
    hint = f"Did you mean {match!r}? " if match else ""
    raise places.error(
        place, f"there is no time zone {zone!r}.", f"{hint}Give an IANA name, such as Europe/Berlin or UTC."
    )


def _cities(zones: set[str]) -> dict[str, str]:
    return {zone.rpartition("/")[2]: zone for zone in sorted(zones)}


def _check_origin(source: model.Source, place: Place, places: Places) -> None:
    if (source.files is None) == (source.database is None):
        raise places.error(place, "it needs either `files` or a `database`.", "Give one of the two.")
    if source.files is not None:
        files = [source.files] if isinstance(source.files, str) else source.files
        if not files or not all(file.strip() for file in files):
            raise places.error((*place, "files"), "it names no file.", "Give a path, a glob or a URL.")
        if source.query is not None:
            raise places.error((*place, "query"), "files take no query.", "Give the `database` that it is for.")
        if source.format == "sql":
            raise places.error((*place, "format"), "files are not of format sql.", "Give a `database` and a `query`.")
        return
    if source.query is None or not source.query.strip():
        raise places.error(place, "a database needs a `query`.", "Write the SELECT that gives the rows.")
    if "://" not in (source.database or "") and "${" not in (source.database or ""):
        remedy = "Write it like postgresql://user:${PASSWORD}@host/name."
        # The value is not told: a password may stand in it.
        raise places.error((*place, "database"), "it is no URL.", remedy)
    if source.format not in (None, "sql"):
        raise places.error((*place, "format"), f"a database is not of format {source.format}.", "Leave it out.")


def _check_text(source: model.Source, place: Place, places: Places) -> None:
    for key, sign in (("delimiter", source.delimiter), ("quote", source.quote)):
        if sign is not None and len(sign) != 1:
            remedy = 'A tab is "\\t", in double quotes.' if sign == "\\t" else "Give one sign."
            raise places.error((*place, key), f"{sign!r} is not one sign.", remedy)
    if source.delimiter is not None and source.delimiter == source.quote:
        raise places.error((*place, "quote"), "it is the delimiter too.", "Give another.")
    if source.encoding is not None:
        try:
            codecs.lookup(source.encoding)
        except LookupError as error:
            remedy = "Give a name such as utf-8, gbk, latin-1 or cp1252, or leave it out: it is found."
            raise places.error((*place, "encoding"), f"there is no encoding {source.encoding!r}.", remedy) from error
    if source.skip < 0:
        raise places.error((*place, "skip"), f"{source.skip} lines cannot be skipped.", "Give 0 or more.")
    if source.header and source.columns is not None:
        remedy = "Add `header: false`, or leave the names out."
        raise places.error((*place, "columns"), "the header names the columns already.", remedy)
    if not source.header and not source.columns:
        raise places.error(place, "without a header it needs `columns`.", "List the columns' names, in their order.")
    twice = [name for name in source.columns or () if (source.columns or []).count(name) > 1]
    if twice:
        raise places.error((*place, "columns"), f"{twice[0]!r} stands there twice.", "Give every column its own name.")
    if source.decimal is not None and source.decimal == source.thousands:
        raise places.error((*place, "thousands"), "it is the decimal sign too.", "Give another.")
