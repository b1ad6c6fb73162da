"""Customers out of the mart: their rows, and their ids in other customers' rows.

Every file that holds them is written anew under its new digest, the manifest is replaced once, then every file that it
does not name goes: those that a build keeps for readers, too. What compares customers with each other, or adds them up,
is right again after the next build: its views are marked, and a part of the timeline that was rewritten is cut anew and
compared with what lies here, so that a build computes nothing else.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo.features import catalogue
from feature_repo.features.view import View
from feature_repo.mart import customers, given, manifest, pieces, timeline, views
from feature_repo.mart.manifest import Built, Manifest, Piece, TimelinePart
from feature_repo.warehouse import files, tables
from feature_repo.warehouse.places import Place
from motherlode import names
from motherlode.bundle import sha256
from motherlode.errors import MotherlodeError
from motherlode.settings import Settings

_UNIT: Final = names.CUSTOMER_ID
"""The unit of a feature whose values are customers."""
_GROUP: Final = 250_000
_LEVEL: Final = 1
_OUTDATED: Final = ""
"""In the place of a digest: what it vouches for is to be made anew."""


@dataclass(frozen=True)
class Mentions:
    """The columns of a view that hold other customers' ids.

    Attributes:
        single: one id each.
        lists: a list of ids → the lists that stand beside it, item by item.
    """

    single: tuple[str, ...] = ()
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.single or self.lists)


def find(settings: Settings, keys: Collection[str], visitors: Collection[str] = ()) -> list[Place]:
    """Where the mart holds customers.

    Args:
        settings: whose mart.
        keys: their join keys, under every pseudonym key.
        visitors: that are theirs alone, as the layers call them.

    Returns:
        Each file with how many rows are theirs, or name them.

    Raises:
        DataError: the manifest cannot be read.
    """
    mart, gone = manifest.read(settings), frozenset(keys)
    known = _views(settings)
    found = [_place(settings, "given", path, n) for path, n in _gifts(settings, gone)]
    for _, part in _parts(mart):
        rows = _in_part(settings, part, gone) + _of_visitors(settings, part, visitors)
        found.append(_place(settings, "timeline", settings.mart / part.path, rows))
    for name, built in mart.views.items():
        for piece in (*built.pieces, *built.written):
            path = settings.mart / piece.path
            rows = _in_piece(path, piece.partition, mart.partitions, gone)
            rows += _mentioning(path, _columns(known.get(name)), gone)
            found.append(_place(settings, "view", path, rows))
    found += [_place(settings, "mart", path, _in_file(path, gone)) for path in _loose(settings)]
    return [place for place in found if place.rows]


def erase(settings: Settings, keys: Collection[str], merged: Collection[str] = ()) -> list[Place]:
    """Take customers out of the mart. The caller holds the home folder: no build runs.

    Rows of nobody that the warehouse has no more go, too: it has forgotten those that followed a customer by a cookie.

    Args:
        settings: whose mart.
        keys: their join keys, under every pseudonym key.
        merged: those of others whose rows were computed of theirs, too: they go, and the next build makes them anew.

    Returns:
        Each file that held them, with both hashes.

    Raises:
        DataError: the manifest cannot be read, or the system refuses to write. The mart is as it was then.
        StoreError: somebody gives labels at this moment.
    """
    gone = frozenset(keys)
    places = _ungive(settings, gone)
    with manifest.flipping(settings):
        mart = manifest.read(settings)
        change = _Change(settings, mart, gone, gone | frozenset(merged))
        made = change.mart()
        if made != mart:
            manifest.write(settings, made)
        places += change.places
        if mart != Manifest():
            _sweep(settings, made)
    return places


def known(settings: Settings) -> set[str]:
    """Every customer that the mart holds rows of, by join key."""
    mart = manifest.read(settings)
    paths = [settings.mart / part.path for _, part in _parts(mart)]
    paths += [settings.mart / each.path for built in mart.views.values() for each in (*built.pieces, *built.written)]
    paths += [*given.files_of(settings), *_loose(settings)]
    return {each for path in paths for each in _ids(path).drop_nulls().unique()}


def outdated(settings: Settings) -> list[str]:
    """The views that an erasure left to be computed anew by the next build."""
    return sorted(name for name, built in manifest.read(settings).views.items() if built.code == _OUTDATED)


def mentions(settings: Settings) -> dict[str, Mentions]:
    """View → its columns that hold other customers' ids; views without such are left out."""
    found = {name: _columns(view) for name, view in _views(settings).items()}
    return {name: columns for name, columns in found.items() if columns}


class _Change:
    """The mart without some customers; `places` tells what was rewritten, once `mart` was called."""

    def __init__(self, settings: Settings, mart: Manifest, gone: frozenset[str], anew: frozenset[str]) -> None:
        """
        Args:
            gone: join keys that are not to come back.
            anew: these, and those whose computed rows go.
        """
        self._settings, self._mart, self._gone, self._anew = settings, mart, gone, anew
        self._views = _views(settings)
        self._nobodys: dict[str, pl.DataFrame] = {}
        self.places: list[Place] = []

    def mart(self) -> Manifest:
        """Write every file anew that holds them; the manifest that names the new ones."""
        parts, touched = {}, set()
        for name, months in self._mart.timeline.items():
            parts[name] = {month: self._timeline(name, found) for month, found in months.items()}
            if parts[name] != months:
                touched.add(name)
        loose = self._loose()
        carried = self._mart.customers
        if carried is not None and customers.FILE in loose:
            path = self._settings.mart / customers.FILE
            rows = pq.read_metadata(path).num_rows
            carried = msgspec.structs.replace(carried, inputs=_OUTDATED, rows=rows, sha256=sha256(path))
        return msgspec.structs.replace(
            self._mart,
            timeline={name: {k: v for k, v in months.items() if v} for name, months in parts.items()},
            views={name: self._view(built, touched) for name, built in self._mart.views.items()},
            customers=carried,
        )

    def _timeline(self, name: str, found: tuple[TimelinePart, ...]) -> tuple[TimelinePart, ...]:
        made = []
        for part in found:
            path = self._settings.mart / part.path
            hit = _in_part(self._settings, part, self._anew)
            left = self._left_over(name, part)
            hit += 0 if left is None else int(left.sum())
            if not hit:
                made.append(part)
                continue
            table = pq.read_table(path)
            stays = _stays(table, names.CUSTOMER_ID, self._anew)
            if left is not None:
                stays = pc.and_(stays, (~left).to_arrow())
            begins = accumulate(part.rows, initial=0)
            groups = [
                table.slice(begin, rows).filter(stays.slice(begin, rows))
                for begin, rows in zip(begins, part.rows, strict=False)
            ]
            counts = tuple(group.num_rows for group in groups)
            target, digest = _write(path, groups, dictionary=True)
            self._say("timeline", path, hit, digest)
            if any(counts):
                below = target.relative_to(self._settings.mart).as_posix()
                made.append(TimelinePart(path=below, made_of=_OUTDATED, rows=counts))
        return tuple(made)

    def _left_over(self, name: str, part: TimelinePart) -> pl.Series | None:
        """Which rows of a part are nobody's and in the warehouse no more; None where it has no visitors."""
        path = self._settings.mart / part.path
        there = set(pq.read_schema(path).names)
        if not there >= {names.VISITOR_ID, names.CUSTOMER_ID} or not part.rows[-1]:
            return None
        by = [names.VISITOR_ID, names.EVENT_TIMESTAMP] if names.EVENT_TIMESTAMP in there else [names.VISITOR_ID]
        if name not in self._nobodys:
            known = tables.scan(self._settings, name).filter(pl.col(names.CUSTOMER_ID).is_null())
            self._nobodys[name] = known.select(by).unique().collect(engine="streaming")
        rows = pl.read_parquet(path, columns=[names.CUSTOMER_ID, *by], glob=False).with_row_index("_at")
        nobodys = rows.filter(pl.col(names.CUSTOMER_ID).is_null() & pl.col(names.VISITOR_ID).is_not_null())
        lost = nobodys.join(self._nobodys[name], on=by, how="anti")["_at"]
        return rows["_at"].is_in(lost.implode())

    def _view(self, built: Built, touched: set[str]) -> Built:
        view = self._views.get(built.view)
        mentions = _columns(view)
        every = self._pieces(built.pieces, mentions, self._anew)
        written = self._pieces(built.written, mentions, self._gone)
        if not every and built.pieces:
            every = (self._empty(built.pieces[0]),)
        stale = _compares(view) and (view is None or bool(touched & set(view.reads)))
        if (every, written, stale) == (built.pieces, built.written, False):
            return built
        return msgspec.structs.replace(
            built,
            code=_OUTDATED if stale else built.code,
            pieces=every,
            written=written,
            rows=sum(piece.rows for piece in every),
        )

    def _pieces(self, found: Iterable[Piece], mentions: Mentions, gone: frozenset[str]) -> tuple[Piece, ...]:
        made = (self._piece(piece, mentions, gone) for piece in found)
        return tuple(piece for piece in made if piece is not None)

    def _piece(self, piece: Piece, mentions: Mentions, gone: frozenset[str]) -> Piece | None:
        """A piece without their rows; None where nothing is left of it."""
        path = self._settings.mart / piece.path
        hit = _in_piece(path, piece.partition, self._mart.partitions, gone)
        named = _mentioning(path, mentions, self._gone)
        if not hit + named:
            return piece
        table = pq.read_table(path)
        if hit:
            table = table.filter(_stays(table, names.CUSTOMER_ID, gone))
        if named:
            table = _without(table, mentions, self._gone)
        target, digest = _write(path, [table])
        self._say("view", path, hit + named, digest)
        below = target.relative_to(self._settings.mart).as_posix()
        return (
            msgspec.structs.replace(piece, path=below, rows=table.num_rows, sha256=digest) if table.num_rows else None
        )

    def _empty(self, like: Piece) -> Piece:
        """A piece without rows, so that the view can be read."""
        old = self._settings.mart / like.path
        target, digest = _write(old.with_name("none.all.-.parquet"), [pq.read_schema(old).empty_table()])
        below = target.relative_to(self._settings.mart).as_posix()
        return Piece(path=below, partition=pieces.WHOLE, era="", rows=0, sha256=digest)

    def _loose(self) -> set[str]:
        """Rewrite the mart's files that are no view's; the names of those that held them."""
        found = set()
        for path in _loose(self._settings):
            if hit := _in_file(path, self._anew):
                before = sha256(path)
                after = _replace(path, self._anew)
                self.places.append(_place(self._settings, "mart", path, hit, before, after))
                found.add(path.name)
        return found

    def _say(self, name: str, path: Path, rows: int, after: str) -> None:
        self.places.append(_place(self._settings, name, path, rows, sha256(path), after))


def _views(settings: Settings) -> dict[str, View]:
    """The views; of the company's own only those that can be loaded now: an erasure does not wait for their repair."""
    try:
        return {view.name: view for view in views.load(settings)}
    except MotherlodeError:
        return {view.name: view for view in catalogue.views(manifest.read(settings).words)}


def _compares(view: View | None) -> bool:
    """Whether a view's rows of some customers depend on others; a view that cannot be loaded may."""
    return view is None or view.whole or view.across is not None


def _columns(view: View | None) -> Mentions:
    """The columns of a view that hold customers, by their unit; of a view that cannot be loaded nothing is known."""
    if view is None:
        return Mentions()
    named = [name for name, feature in view.meanings.items() if feature.unit == _UNIT and name != view.key]
    lists = [name for name in named if isinstance(view.features[name], pl.List)]
    beside = [name for name in view.compared if isinstance(view.features[name], pl.List)]
    return Mentions(
        tuple(name for name in named if name not in lists),
        {name: tuple(other for other in beside if other not in lists) for name in lists},
    )


def _parts(mart: Manifest) -> Iterator[tuple[str, TimelinePart]]:
    for name, months in mart.timeline.items():
        for found in months.values():
            for part in found:
                yield name, part


def _in_part(settings: Settings, part: TimelinePart, gone: Collection[str]) -> int:
    """How many rows of a part of the timeline are theirs; only their partitions are read."""
    path, last = settings.mart / part.path, len(part.rows) - 1
    if names.CUSTOMER_ID not in pq.read_schema(path).names:
        return 0
    begins = list(accumulate(part.rows, initial=0))
    numbers = timeline.buckets(pl.Series(sorted(gone), dtype=pl.String), last).unique().to_list()
    ids = pl.scan_parquet(path, glob=False).select(names.CUSTOMER_ID)
    return sum(_count(ids.slice(begins[n], part.rows[n]).collect().to_series(), gone) for n in numbers if part.rows[n])


def _of_visitors(settings: Settings, part: TimelinePart, visitors: Collection[str]) -> int:
    """How many rows of a part are nobody's but some visitors'."""
    path = settings.mart / part.path
    if not visitors or not {names.VISITOR_ID, names.CUSTOMER_ID} <= set(pq.read_schema(path).names):
        return 0
    rows = pl.read_parquet(path, columns=[names.CUSTOMER_ID, names.VISITOR_ID], glob=False)
    theirs = pl.col(names.CUSTOMER_ID).is_null() & pl.col(names.VISITOR_ID).is_in(sorted(visitors))
    return rows.filter(theirs).height


def _in_piece(path: Path, partition: int, partitions: int, gone: Collection[str]) -> int:
    """How many rows of a piece are theirs; not read where it is of customers of another partition."""
    ids = pl.Series(sorted(gone), dtype=pl.String)
    if partition != pieces.WHOLE and partition not in timeline.buckets(ids, partitions).to_list():
        return 0
    return _in_file(path, gone)


def _in_file(path: Path, gone: Collection[str]) -> int:
    return _count(_ids(path), gone)


def _ids(path: Path) -> pl.Series:
    if names.CUSTOMER_ID not in pq.read_schema(path).names:
        return pl.Series(dtype=pl.String)
    return pl.read_parquet(path, columns=[names.CUSTOMER_ID], glob=False).to_series().cast(pl.String)


def _count(ids: pl.Series, gone: Collection[str]) -> int:
    return int(ids.is_in(sorted(gone)).sum())


def _mentioning(path: Path, mentions: Mentions, gone: Collection[str]) -> int:
    """How many rows of a piece name them in other customers' columns."""
    if not mentions:
        return 0
    there = set(pq.read_schema(path).names)
    columns = [name for name in (*mentions.single, *mentions.lists) if name in there]
    rows = pl.read_parquet(path, columns=[*columns, names.CUSTOMER_ID], glob=False)
    others = ~pl.col(names.CUSTOMER_ID).is_in(sorted(gone))
    return rows.filter(others & pl.any_horizontal(_names(name, mentions, gone) for name in columns)).height


def _names(column: str, mentions: Mentions, gone: Collection[str]) -> pl.Expr:
    """Whether a row's value, or an item of its list, is one of them."""
    them = sorted(gone)
    if column in mentions.lists:
        return pl.col(column).list.eval(pl.element().is_in(them)).list.any().fill_null(value=False)
    return pl.col(column).is_in(them).fill_null(value=False)


def _without(table: pa.Table, mentions: Mentions, gone: Collection[str]) -> pa.Table:
    """Other customers' rows without their ids.

    They are taken out of lists, and out of those beside them; a group that is called after one of them is called after
    the least of those who are left, as a build would.
    """
    frame = pl.DataFrame(table)
    for name in mentions.single:
        least = pl.col(names.CUSTOMER_ID).min().over(names.EVENT_TIMESTAMP, name)
        frame = frame.with_columns(pl.when(_names(name, mentions, gone)).then(least).otherwise(name).alias(name))
    for name, beside in mentions.lists.items():
        hit = frame.select(_names(name, mentions, gone)).to_series().to_list()
        kept = [
            [place for place, each in enumerate(ids) if each not in gone] if found else None
            for ids, found in zip(frame[name].to_list(), hit, strict=True)
        ]
        for column in (name, *beside):
            values = [
                row if places is None or row is None else [row[place] for place in places] or None
                for row, places in zip(frame[column].to_list(), kept, strict=True)
            ]
            frame = frame.with_columns(pl.Series(column, values, dtype=frame.schema[column]))
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(table.schema)


def _stays(table: pa.Table, key: str, gone: Collection[str]) -> pa.Array:
    """Which rows are of others, or of nobody."""
    ids = pl.Series(pl.from_arrow(table.column(key))).cast(pl.String)
    return (~ids.is_in(sorted(gone))).fill_null(value=True).to_arrow()


def _write(old: Path, tables: Sequence[pa.Table], *, dictionary: bool = False) -> tuple[Path, str]:
    """Write a row group a table beside the file that they come from, under their digest; the path, and the digest."""
    schema = tables[0].schema
    repeating = dictionary or [field.name for field in schema if not pa.types.is_primitive(field.type)]
    with files.writing(old) as scratch:
        with pq.ParquetWriter(
            scratch, schema, compression="zstd", compression_level=_LEVEL, use_dictionary=repeating
        ) as writer:
            for table in tables:
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows if dictionary else _GROUP)
        digest = sha256(scratch)
        stem = old.name.removesuffix(".parquet").rpartition(".")[0]
        target = old.with_name(f"{stem}.{digest[:16]}.parquet")
        scratch.replace(target)
    return target, digest


def _replace(path: Path, gone: Collection[str]) -> str:
    """Write a file without them in its own place; its new hash."""
    table = pq.read_table(path)
    with files.writing(path) as scratch:
        pq.write_table(table.filter(_stays(table, names.CUSTOMER_ID, gone)), scratch, compression="zstd")
        files.sync([scratch])
        scratch.replace(path)
        files.sync([path.parent])
    return sha256(path)


def _loose(settings: Settings) -> list[Path]:
    """The mart's files that are no view's: the customers, and views as layout 1 had them."""
    return sorted(path for path in settings.mart.glob("*.parquet") if not path.name.startswith("."))


def _gifts(settings: Settings, gone: Collection[str]) -> Iterable[tuple[Path, int]]:
    return [(path, _in_file(path, gone)) for path in given.files_of(settings)]


def _ungive(settings: Settings, gone: frozenset[str]) -> list[Place]:
    """Take them out of the labels that were given."""
    found = [(path, rows, sha256(path)) for path, rows in _gifts(settings, gone) if rows]
    if not found:
        return []
    written = given.forget(settings, gone)
    return [
        _place(settings, "given", path, rows, before, sha256(written[path]) if path in written else "")
        for path, rows, before in found
    ]


def _sweep(settings: Settings, mart: Manifest) -> None:
    """Delete what the manifest does not name, also what a reader may still hold."""
    named = manifest.paths(mart)
    for path in settings.mart.glob("*/**/*.parquet"):
        if path.relative_to(settings.mart).as_posix() not in named:
            path.unlink(missing_ok=True)
    for path in settings.mart.rglob(f"{files.WRITING}*"):
        path.unlink(missing_ok=True)
    shutil.rmtree(settings.mart / pieces.SCRATCH, ignore_errors=True)


def _place(settings: Settings, name: str, path: Path, rows: int, before: str | None = None, after: str = "") -> Place:
    return Place(
        name=name,
        path=path.relative_to(settings.home).as_posix(),
        rows=rows,
        sha256_before=before if before is not None else sha256(path) if rows else "",
        sha256_after=after,
    )
