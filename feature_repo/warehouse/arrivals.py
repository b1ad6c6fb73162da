"""The mapping's sources into raw: what is known by its content is skipped, a corrected file supersedes the old one."""

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.warehouse import raw
from feature_repo.warehouse.mapping.model import Source
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.sources.content import MissingError
from feature_repo.warehouse.sources.find import Found, find
from feature_repo.warehouse.state import Landed, State
from motherlode.settings import Settings

_MAPPING: Final = "mapping"
"""Key of a refused file's `how`: the mapping that it was refused under. It is tried again under another one."""


@dataclass(frozen=True)
class Arrivals:
    """What a load finds in its sources.

    Attributes:
        landed: every landed file by order, as `State.raw`.
        fresh: the orders of those that are new.
        standing: the orders of files that were refused before, and are still there as they were.
    """

    landed: tuple[Landed, ...]
    fresh: tuple[int, ...]
    standing: tuple[int, ...]


def land(
    settings: Settings,
    project: Project,
    state: State,
    on_file: Callable[[Landed], None],
    on_gone: Callable[[str], None],
) -> Arrivals:
    """Land what is new.

    Args:
        settings: whose raw.
        project: the mapping.
        state: what is landed already.
        on_file: told every file that was landed or refused.
        on_gone: told of every pattern whose files were landed, and are there no more.

    Raises:
        DataError: a pattern names nothing, and never did; a source cannot be looked at, or needs a variable that is
            not set; a raw file cannot be written.
    """
    known = list(state.raw)
    fresh: list[int] = []
    standing: set[int] = set()
    now = datetime.now(UTC)
    for name, source in project.mapping.sources.items():
        there = _found(project, name, source, known, on_gone)
        contents = [raw.digest_of(found) for found in there]
        for found, content in zip(there, contents, strict=True):
            same = _same(known, found, content)
            if same is not None and _stands(settings, project, known, same, found, {each.name for each in there}):
                if same.status == "refused":
                    standing.add(same.order)
                known = _overwritten(known, same, found, {each.name for each in there}, set(contents))
                known = _renamed(known, same, found, {each.name for each in there})
                continue
            # The same bytes read otherwise, after a change of the mapping, keep their place among the landings.
            again = same if same is not None and same.status == "active" else None
            order = again.order if again else max((landed.order for landed in known), default=0) + 1
            landed = marked(raw.land(settings, project, found, order, again.landed_at if again else now), project)
            if same is None and (told := _told(settings, project, known, landed, found, there)) is not None:
                if told.status == "refused":
                    standing.add(told.order)
                continue
            known = _with(known, landed, again, {each.name for each in there})
            fresh.append(order)
            on_file(landed)
    return Arrivals(tuple(sorted(known, key=lambda landed: landed.order)), tuple(fresh), tuple(sorted(standing)))


def marked(landed: Landed, project: Project) -> Landed:
    """A refused file with the mapping that it was refused under; others as they are."""
    if landed.status != "refused":
        return landed
    return msgspec.structs.replace(landed, how={**landed.how, _MAPPING: project.digest})


def active(landed: Sequence[Landed], source: str) -> list[Landed]:
    """A source's files that count, by order."""
    mine = (each for each in landed if each.source == source and each.status == "active")
    return sorted(mine, key=lambda each: each.order)


def _found(
    project: Project, name: str, source: Source, known: Sequence[Landed], on_gone: Callable[[str], None]
) -> list[Found]:
    """What a source stands for now. Files that were landed may be moved away; all else that fails is an error."""
    if source.files is None:
        return find(project, name)
    found: dict[str, Found] = {}
    for pattern in [source.files] if isinstance(source.files, str) else source.files:
        alone = msgspec.structs.replace(source, files=pattern)
        mapping = msgspec.structs.replace(project.mapping, sources={**project.mapping.sources, name: alone})
        try:
            for each in find(replace(project, mapping=mapping), name):
                found.setdefault(each.uri, each)
        except MissingError:
            if not _was_there(project.folder, pattern, active(known, name)):
                raise
            on_gone(f"{name}: nothing lies at {pattern} now, what was landed of it stays")
    return list(found.values())


def _was_there(folder: Path, pattern: str, landed: Sequence[Landed]) -> bool:
    """Whether a pattern that names nothing did name files that were landed; where only its files could tell, any."""
    if "://" in pattern or "$" in pattern or "[" in pattern:
        return bool(landed)
    as_named = Path(os.path.relpath(folder / pattern, folder)).as_posix().replace("**/", "*")
    return any(fnmatchcase(name, as_named) for each in landed for name in (each.name, *each.also))


def _same(known: Sequence[Landed], found: Found, content: str) -> Landed | None:
    """The landed file of this content, by whatever name; the active one first."""
    same = [landed for landed in known if content and landed.source == found.source and landed.sha256 == content]
    return min(same, key=lambda landed: (landed.status == "superseded", -landed.order), default=None)


def _stands(
    settings: Settings, project: Project, known: Sequence[Landed], same: Landed, found: Found, there: Set[str]
) -> bool:
    """Whether a file whose content is known is to be left alone.

    A superseded content counts again in place of another that counts by the file's name, or back under its own name.
    Elsewhere it is an old copy, as is one whose file was renamed, then corrected under that name.
    """
    if same.status == "refused":
        return same.how.get(_MAPPING) == project.digest
    if same.status == "superseded":
        counting = {each.name for each in active(known, found.source)}
        if _of_name(known, found, there):
            return False
        return same.name != found.name or not counting.isdisjoint(same.also)
    return raw.current(same, project) and (settings.home / same.path).is_file()


def _told(
    settings: Settings,
    project: Project,
    known: Sequence[Landed],
    landed: Landed,
    found: Found,
    there: Sequence[Found],
) -> Landed | None:
    """The landing that said what this one says: of a table, a query or a file far away only the landing tells."""
    if landed.status == "refused" and not landed.sha256:
        told = (landed.source, landed.name, landed.problem, landed.how.get(_MAPPING))
        same = (each for each in known if (each.source, each.name, each.problem, each.how.get(_MAPPING)) == told)
        return next(same, None)
    twin = _same(known, found, landed.sha256)
    names = {each.name for each in there}
    return twin if twin is not None and _stands(settings, project, known, twin, found, names) else None


def _of_name(known: Sequence[Landed], found: Found, there: Set[str]) -> list[Landed]:
    """The landings that count by a file's name."""
    mine = active(known, found.source)
    return [each for each in mine if each.name == found.name or (found.name in each.also and each.name not in there)]


def _overwritten(known: list[Landed], same: Landed, found: Found, there: Set[str], contents: Set[str]) -> list[Landed]:
    """What is known, once a file's content was replaced by that of another file, which counts already.

    A content that lies there by another name was moved, and counts on.
    """
    if same.status != "active":
        return known
    gone = {each.order for each in _of_name(known, found, there) if each.sha256 not in contents}
    return [msgspec.structs.replace(each, status="superseded") if each.order in gone else each for each in known]


def _renamed(known: list[Landed], same: Landed, found: Found, there: Set[str]) -> list[Landed]:
    """What is known, once a file's content came by another name, its own being gone.

    A name that other content was landed by was not given by a renaming: what it says next corrects the other's rows.
    """
    if same.status != "active" or same.name in there or found.name in (same.name, *same.also):
        return known
    if any((each.source, each.name) == (found.source, found.name) and each.sha256 for each in known):
        return known
    renamed = msgspec.structs.replace(same, also=(*same.also, found.name))
    return [renamed if each is same else each for each in known]


def _with(known: Sequence[Landed], landed: Landed, again: Landed | None, there: Set[str]) -> list[Landed]:
    """What is known, once `landed` is there: older files of its name count no more; a refusal is told of once.

    Of its name is also a file that came by it after its own name was gone, and has not come back.
    """
    name = (landed.source, landed.name)
    kept = [
        each
        for each in known
        if each is not again and not ((each.source, each.name) == name and each.status == "refused")
    ]
    if landed.status == "active":
        kept = [
            msgspec.structs.replace(each, status="superseded")
            if each.status == "active" and ((each.source, each.name) == name or _goes_by(each, landed, there))
            else each
            for each in kept
        ]
    return [*kept, landed]


def _goes_by(known: Landed, landed: Landed, there: Set[str]) -> bool:
    """Whether a file is known by another's name."""
    return known.source == landed.source and landed.name in known.also and known.name not in there
