"""The certificate of an erasure: what was where, what became of it, what is left to do; of whom, it tells by digests.

`erasure/certificates/<id>.json` below home. It is written before anything is taken away and after every step, so that
an erasure that was killed goes on under the same certificate and tells what the first run took, too.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from feature_repo.warehouse import files
from feature_repo.warehouse.places import Place
from motherlode.errors import DataError
from motherlode.online.tombstones import FOLDER
from motherlode.settings import Settings

VERSION: Final = 1
CERTIFICATES: Final = f"{FOLDER}/certificates"
"""Below home."""
INDEXES: Final = (
    "the item index of each bundle: holds items and no customers; left as it is",
    "neighbour lists and groups of other customers, offline and online: their ids were taken out",
    "the online store's index of a customer's rows under several join keys: removed with the rows",
)
"""Every index that there is, and what an erasure does to it."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that was trained while the customers' rows were there.

    Attributes:
        version: the bundle's.
        trained_at: ISO 8601, UTC; "" where its manifest cannot be read.
        current: whether it serves now.
    """

    version: str
    trained_at: str
    current: bool


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of backups.

    Attributes:
        folder: where.
        told: whether the tombstones lie in it, so that a restore leaves the customers out.
        problem: why not.
    """

    folder: str
    told: bool
    problem: str = ""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """One erasure.

    Attributes:
        version: of this layout.
        id: its time and some hex digits.
        at: when it began, UTC.
        ended_at: when it had ended; None: it was not run to its end.
        actor: who asked for it, as the audit log has it.
        who: digests of the outside ids (`motherlode.online.tombstones`), sorted.
        merged: digests of the join keys of others who were found to be one person with them: what was computed of
            both is computed of the others alone by the next build.
        places: every file or key that held them, with rows and both hashes.
        models: the bundles that were trained on them.
        indexes: every index that there is, and what became of it.
        backups: what became of the tombstones in each folder of backups.
        outdated: views whose comparisons and sums still count them, until the next `motherlode features`.
        remains: what is outside an erasure's reach, or stays by intent.
        failures: what still held an id at the end.
    """

    version: int = VERSION
    id: str
    at: datetime
    ended_at: datetime | None = None
    actor: str = ""
    who: tuple[str, ...]
    merged: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    models: tuple[Model, ...] = ()
    indexes: tuple[str, ...] = INDEXES
    backups: tuple[Backup, ...] = ()
    outdated: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing was left and every folder of backups knows."""
        return self.ended_at is not None and not self.failures and all(each.told for each in self.backups)

    def with_places(self, found: Iterable[Place]) -> "Certificate":
        """The certificate with places as they are known now: a later word of a place replaces an earlier one."""
        known = {(each.name, each.path): each for each in self.places}
        for each in found:
            known[each.name, each.path] = _later(known.get((each.name, each.path)), each)
        return msgspec.structs.replace(self, places=tuple(known.values()))


def _later(before: Place | None, now: Place) -> Place:
    """What is known of a place, once it is said again: the first hash and the most rows stay."""
    if before is None:
        return now
    return Place(
        now.name,
        now.path,
        max(before.rows, now.rows),
        before.sha256_before or now.sha256_before,
        now.sha256_after or before.sha256_after,
    )


def new(at: datetime, who: Sequence[str]) -> Certificate:
    """A certificate that has just begun."""
    return Certificate(id=f"{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}", at=at, who=tuple(sorted(who)))


def unfinished(settings: Settings, who: Sequence[str]) -> Certificate | None:
    """The newest erasure of exactly these people that was not run to its end."""
    wanted = tuple(sorted(who))
    found = [each for each in every(settings) if each.ended_at is None and each.who == wanted]
    return found[-1] if found else None


def every(settings: Settings) -> list[Certificate]:
    """Every certificate, the oldest first.

    Raises:
        DataError: one cannot be read.
    """
    return [read(path) for path in sorted((settings.home / CERTIFICATES).glob("*.json"))]


def read(path: Path) -> Certificate:
    """A certificate.

    Raises:
        DataError: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Certificate)
    except msgspec.DecodeError as error:
        raise DataError(f"{path} is no certificate: {error}.", "Restore it from a backup, or move it away.") from None


def write(settings: Settings, certificate: Certificate) -> Path:
    """Keep it, in one step; on the disk when this returns."""
    path = settings.home / CERTIFICATES / f"{certificate.id}.json"
    files.write(path, msgspec.json.format(msgspec.json.encode(certificate), indent=1))
    return path
