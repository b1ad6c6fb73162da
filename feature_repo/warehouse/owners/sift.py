"""Rows of customers who were erased are kept out of what is landed after, before it has its place in raw."""

import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from feature_repo.warehouse import raw, raw_file
from feature_repo.warehouse.mapping.read import Project
from feature_repo.warehouse.owners import rewrite
from feature_repo.warehouse.owners.sought import Sought
from feature_repo.warehouse.owners.trace import masks
from feature_repo.warehouse.owners.ways import Ways
from feature_repo.warehouse.state import Landed
from motherlode.bundle import sha256
from motherlode.online.tombstones import Kind, Tombstone, Tombstones
from motherlode.settings import Settings

_SEPARATORS: Final = re.compile(r"[\s,;|:\"'{}\[\]]+")
_WORD: Final = re.compile(r"\w+")
_RUN: Final = 6
"""Words of an id at most, in a line that is no row."""


def sifting(settings: Settings, project: Project) -> "Sifter | None":
    """What a landing passes each file through; None where nobody was erased.

    Raises:
        DataError: the ledger cannot be read.
    """
    ledger = Tombstones(settings)
    return Sifter(settings, project, ledger) if ledger else None


class Sifter:
    """Takes rows of those who were erased out of files.

    Args:
        settings: whose raw.
        project: the mapping, which tells whose a row is.
        ledger: of those who were erased. What others look up in a row of theirs goes into it by its key: an order of
            theirs that is new has lines that name nobody.
    """

    def __init__(self, settings: Settings, project: Project, ledger: Tombstones) -> None:
        self._settings, self._ledger = settings, ledger
        self._ways, self._sought = Ways(settings, [project]), Sought(ledger=ledger)
        self.grew = False

    def __call__(self, landed: Landed) -> Landed:
        """A file that lies in raw under a temporary name, without their rows."""
        gone, broken = self._theirs(landed)
        if not gone:
            return landed
        path = self._settings.home / landed.path
        target = path.with_name(f"{path.name}.sifted")
        try:
            rows = rewrite.rewrite(self._settings, path, target, gone, {}, None)
            target.replace(path)
        finally:
            target.unlink(missing_ok=True)
        left = landed.malformed - broken
        return msgspec.structs.replace(landed, rows=rows, malformed=left, erased=landed.erased + len(gone))

    def again(self, landed: Landed) -> Landed:
        """A file that has its place already, beside it without rows whose key a later file brought into the ledger."""
        if landed.status != "active" or not landed.path or not any(way.kind == "key" for way in self._ways.of(landed)):
            return landed
        folder = (self._settings.home / landed.path).parent
        with raw_file.temporary(folder, ".parquet") as copy:
            shutil.copyfile(self._settings.home / landed.path, copy)
            sifted = self(msgspec.structs.replace(landed, path=copy.relative_to(self._settings.home).as_posix()))
            if sifted.erased == landed.erased:
                return landed
            digest = sha256(copy)
            target = folder / raw.name_of(landed, digest)
            raw_file.place(self._settings, copy, target)
        told = target.relative_to(self._settings.home).as_posix()
        return msgspec.structs.replace(sifted, path=told, sha256_raw=sha256(target))

    def _theirs(self, landed: Landed) -> tuple[set[int], int]:
        """`_row` of their rows, and how many of these are lines that are no row."""
        mine = self._ways.of(landed)
        gone: set[int] = set()
        given: dict[Kind, set[str]] = defaultdict(set)
        kept: dict[Kind, set[str]] = defaultdict(set)
        for numbers, values in self._ways.read(landed, mine) if mine else ():
            theirs, named = masks(values, mine, self._sought)
            for way, texts in zip(mine, values, strict=True):
                if way.role != "names":
                    theirs = theirs | (self._sought.among(way.kind, texts) & ~named)
            gone.update(numbers.filter(theirs).to_list())
            for way, texts in zip(mine, values, strict=True):
                if way.role == "gives":
                    given[way.kind].update(texts.filter(theirs).drop_nulls().to_list())
                    kept[way.kind].update(texts.filter(~theirs).drop_nulls().to_list())
        for kind, texts_given in given.items():
            self._leave(kind, sorted(texts_given - kept[kind]))
        if not landed.malformed:
            return gone, 0
        broken = rewrite.malformed(self._settings, self._settings.home / landed.path, self._named)
        return gone | broken, len(broken)

    def _named(self, line: str) -> bool:
        return bool(self._sought.of("outside", words(line)))

    def _leave(self, kind: Kind, texts: Sequence[str]) -> None:
        now, digests = datetime.now(UTC), self._ledger.digests(kind, texts)
        left = self._ledger.add([Tombstone(kind=kind, digest=each, at=now, certificate="") for each in digests])
        self.grew |= left > 0


def words(line: str) -> list[str]:
    """What of a line that is no row may be an id: what stands between separators, and every run of a few words.

    An id may hold separators itself, inside, or one at an end that is no letter.
    """
    begins, ends = zip(*(each.span() for each in _WORD.finditer(line)), strict=True) if _WORD.search(line) else ((), ())
    runs = {
        line[start:end]
        for first, begin in enumerate(begins)
        for last in range(first, min(first + _RUN, len(begins)))
        for start in {begin, max(begin - 1, 0)}
        for end in {ends[last], ends[last] + 1}
    }
    return sorted({*_SEPARATORS.split(line), *runs, *(each.strip() for each in runs)} - {""})
