"""The mapping's sources into raw: what is known by its content is skipped, a corrected file supersedes the old one."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.warehouse import events, raw
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.owners.sift import sifting
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
    known = _Known(state.raw)
    fresh: list[int] = []
    standing: set[int] = set()
    now = datetime.now(UTC)
    sift = sifting(settings, project)
    for name in project.mapping.sources:
        if name == events.SOURCE:
            continue
        files = _found(project, name, known, on_gone)
        there = {found.name for found in files}
        digests = [raw.digest_of(found) for found in files]
        contents = set(digests)
        for found, content in zip(files, digests, strict=True):
            same = known.of_content(name, content)
            if same is not None and _stands(settings, project, known, same, found, there):
                if same.status == "refused":
                    standing.add(same.order)
                known = _overwritten(known, same, found, there, contents)
                known = _renamed(known, same, found, there)
                continue
            # The same bytes read otherwise, after a change of the mapping, keep their place among the landings.
            again = same if same is not None and same.status == "active" else None
            order = again.order if again else max((landed.order for landed in known.landed), default=0) + 1
            landed = raw.land(settings, project, found, order, again.landed_at if again else now, sift)
            landed = marked(landed, project)
            if same is None and (told := _told(settings, project, known, landed, found, there)) is not None:
                if told.status == "refused":
                    standing.add(told.order)
                continue
            known = _with(known, landed, again, there)
            fresh.append(order)
            on_file(landed)
    if sift is not None and sift.grew:  # a look-up that came after the rows that are looked up in it
        known = _Known(sift.again(each) if each.order in fresh else each for each in known.landed)
    for landed in events.land(settings, known.landed):
        known = _Known([*known.landed, landed])
        fresh.append(landed.order)
        on_file(landed)
    every = tuple(sorted(known.landed, key=lambda landed: landed.order))
    return Arrivals(every, tuple(fresh), tuple(sorted(standing)))


class _Known:
    """The landed files, with an index by content and one by name: a load of thousands of files asks for each."""

    def __init__(self, landed: Iterable[Landed]) -> None:
        self.landed = tuple(landed)
        self._contents: dict[tuple[str, str], list[Landed]] = defaultdict(list)
        self._names: dict[tuple[str, str], list[Landed]] = defaultdict(list)
        for each in self.landed:
            self._contents[each.source, each.sha256].append(each)
            for name in (each.name, *each.also):
                self._names[each.source, name].append(each)

    def of_content(self, source: str, content: str) -> Landed | None:
        """The landed file of this content, by whatever name; the active one first."""
        same = self._contents.get((source, content), ()) if content else ()
        return min(same, key=lambda landed: (landed.status == "superseded", -landed.order), default=None)

    def named(self, source: str, name: str) -> Sequence[Landed]:
        """The landings that came by this name, be it their first."""
        return self._names.get((source, name), ())

    def counting(self, source: str, name: str, there: Set[str]) -> list[Landed]:
        """Those that count by it: their own, or one that they go by while their own is not there."""
        mine = (each for each in self.named(source, name) if each.status == "active")
        return [each for each in mine if each.name == name or each.name not in there]


def marked(landed: Landed, project: Project) -> Landed:
    """A refused file with the mapping that it was refused under; others as they are."""
    if landed.status != "refused":
        return landed
    return msgspec.structs.replace(landed, how={**landed.how, _MAPPING: project.digest})


def active(landed: Sequence[Landed], source: str) -> list[Landed]:
    """A source's files that count, by order."""
    mine = (each for each in landed if each.source == source and each.status == "active")
    return sorted(mine, key=lambda each: each.order)


def _found(project: Project, name: str, known: _Known, on_gone: Callable[[str], None]) -> list[Found]:
    """What a source stands for now. Files that were landed may be moved away; all else that fails is an error."""

    def missing(pattern: str, error: MissingError) -> None:
        if not _was_there(project.folder, pattern, active(known.landed, name)):
            raise error
        on_gone(f"{name}: nothing lies at {pattern} now, what was landed of it stays")

    return find(project, name, missing)


def _was_there(folder: Path, pattern: str, landed: Sequence[Landed]) -> bool:
    """Whether a pattern that names nothing did name files that were landed; where only its files could tell, any."""
    if "://" in pattern or "$" in pattern or "[" in pattern:
        return bool(landed)
    as_named = Path(os.path.relpath(folder / pattern, folder)).as_posix().replace("**/", "*")
    return any(fnmatchcase(name, as_named) for each in landed for name in (each.name, *each.also))


def _stands(settings: Settings, project: Project, known: _Known, same: Landed, found: Found, there: Set[str]) -> bool:
    """Whether a file whose content is known is to be left alone.

    A superseded content counts again in place of another that counts by the file's name, or back under its own name.
    Elsewhere it is an old copy, as is one whose file was renamed, then corrected under that name.
    """
    if same.status == "refused":
        return same.how.get(_MAPPING) == project.digest
    if same.status == "superseded":
        if known.counting(found.source, found.name, there):
            return False
        counting = {each.name for each in active(known.landed, found.source)}
        return same.name != found.name or not counting.isdisjoint(same.also)
    return raw.current(same, project) and (settings.home / same.path).is_file()


def _told(
    settings: Settings, project: Project, known: _Known, landed: Landed, found: Found, there: Set[str]
) -> Landed | None:
    """The landing that said what this one says: of a table, a query or a file far away only the landing tells."""
    if landed.status == "refused" and not landed.sha256:
        told = (landed.name, landed.problem, landed.how.get(_MAPPING))
        same = known.named(landed.source, landed.name)
        return next((each for each in same if (each.name, each.problem, each.how.get(_MAPPING)) == told), None)
    twin = known.of_content(found.source, landed.sha256)
    return twin if twin is not None and _stands(settings, project, known, twin, found, there) else None


def _overwritten(known: _Known, same: Landed, found: Found, there: Set[str], contents: Set[str]) -> _Known:
    """What is known, once a file's content was replaced by that of another file, which counts already.

    A content that lies there by another name was moved, and counts on.
    """
    if same.status != "active":
        return known
    counting = known.counting(found.source, found.name, there)
    gone = {each.order for each in counting if each.sha256 not in contents}
    if not gone:
        return known
    return _Known(
        msgspec.structs.replace(each, status="superseded") if each.order in gone else each for each in known.landed
    )


def _renamed(known: _Known, same: Landed, found: Found, there: Set[str]) -> _Known:
    """What is known, once a file's content came by another name, its own being gone.

    A name that other content was landed by was not given by a renaming: what it says next corrects the other's rows.
    """
    if same.status != "active" or same.name in there or found.name in (same.name, *same.also):
        return known
    if any(each.name == found.name and each.sha256 for each in known.named(found.source, found.name)):
        return known
    renamed = msgspec.structs.replace(same, also=(*same.also, found.name))
    return _Known(renamed if each is same else each for each in known.landed)


def _with(known: _Known, landed: Landed, again: Landed | None, there: Set[str]) -> _Known:
    """What is known, once `landed` is there: older files of its name count no more; a refusal is told of once.

    Of its name is also a file that came by it after its own name was gone, and has not come back.
    """
    named = known.named(landed.source, landed.name)
    told = {each.order for each in named if each.name == landed.name and each.status == "refused"}
    kept = [each for each in known.landed if each is not again and each.order not in told]
    if landed.status == "active":
        older = {each.order for each in known.counting(landed.source, landed.name, there)}
        kept = [msgspec.structs.replace(each, status="superseded") if each.order in older else each for each in kept]
    return _Known([*kept, landed])
