"""The erasure of customers, step by step; each can be done twice, so that one that was killed is simply run again."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from feature_repo.erasure import certificate as certificates
from feature_repo.erasure import consents, mentions, models, online, saved, scan, stream
from feature_repo.erasure.certificate import Backup, Certificate
from feature_repo.mart import erasure as mart
from feature_repo.warehouse import erasure as warehouse
from feature_repo.warehouse import state, tables
from feature_repo.warehouse.places import Place
from motherlode import audit, names, redis_server
from motherlode.backup import places as backups
from motherlode.backup.places import Registered
from motherlode.errors import MotherlodeError
from motherlode.lock import exclusive
from motherlode.online import tombstones as ledger
from motherlode.online.keys import entity_text
from motherlode.online.tombstones import Tombstone, Tombstones
from motherlode.settings import Settings

STEPS: Final = ("look", "tombstones", "online", "warehouse", "mart", "saved", "server's files", "last look")
Step = Callable[[str], None]
"""Told of each of `STEPS` once it is done."""


@dataclass(frozen=True)
class People:
    """Who is erased.

    Attributes:
        outside: their ids as the company has them.
        keys: their join keys, under every pseudonym key.
        merged: the join keys of others who were found to be one person with them: what is computed under one of these
            is of all of them, and goes until the next build computes it of the others alone.
        visitors: cookies and devices that are theirs alone.
    """

    outside: tuple[str, ...]
    keys: tuple[str, ...]
    merged: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """By whatever they are called."""
        return frozenset({*self.outside, *self.keys})

    def nobodys(self, settings: Settings) -> frozenset[str]:
        """The visitors, as the layers above raw call them."""
        return frozenset(settings.identity.pseudonyms_of(names.VISITOR_ID, self.visitors))


def people(settings: Settings, outside_ids: Iterable[int | str]) -> People:
    """Who some outside ids are."""
    outside = tuple(dict.fromkeys(map(str, outside_ids)))
    keys = warehouse.join_keys(settings, outside, merged=False)
    merged = warehouse.join_keys(settings, outside) - keys
    return People(outside, tuple(sorted(keys)), tuple(sorted(merged)), tuple(warehouse.visitors(settings, outside)))


def one_person(settings: Settings, outside_ids: Iterable[int | str]) -> list[str]:
    """The ids of everybody who was found to be one person with some, these among them.

    Raises:
        DataError: raw is encrypted and its key is not here.
    """
    return warehouse.person(settings, [str(each) for each in outside_ids])


def find(settings: Settings, outside_ids: Iterable[int | str], beside: Sequence[Path] = ()) -> list[Place]:
    """Where customers are: what an erasure would take.

    Args:
        settings: whose home, and whose online store where one is named or was ever started.
        outside_ids: as the company has them.
        beside: saved data sets that lie outside home.

    Raises:
        DataError, StoreError: a place cannot be read.
    """
    with _server(settings) as client:
        return _find(settings, client, people(settings, outside_ids), beside)


def strangers(settings: Settings, outside_ids: Sequence[str]) -> list[str]:
    """Those of whom nothing is found anywhere.

    Raises:
        DataError, StoreError: as in `find`.
    """
    known = set(tables.identities(settings, state.read(settings).identities)[names.OUTSIDE_ID])
    return [
        each for each in outside_ids if each not in known and not any(place.rows for place in find(settings, [each]))
    ]


def erase(
    settings: Settings,
    outside_ids: Iterable[int | str],
    *,
    beside: Sequence[Path] = (),
    verify: bool | None = None,
    on_step: Step | None = None,
) -> Certificate:
    """Take customers out of everything, for good.

    Their tombstones come first: whatever is written, landed or restored from then on leaves them out. Where an erasure
    of the same customers was killed, this one ends it, under its certificate.

    Args:
        settings: whose home and online store; with the raw key, where raw is encrypted.
        outside_ids: as the company has them; who is not known gets a tombstone all the same.
        beside: saved data sets that lie outside home.
        verify: whether every file is looked through at the end; None: where home has less than `scan.MOST` bytes.
        on_step: told of each step.

    Returns:
        The certificate, as it is kept; `complete` where nothing is left to do.

    Raises:
        StoreError: another process changes the home folder, or the online store does not answer.
        DataError: a file cannot be read or written. What was done stays done; run it again.
    """
    tell = on_step or (lambda _: None)
    with exclusive(settings), _server(settings) as client:
        audit.check(settings)
        who = people(settings, outside_ids)
        known = Tombstones(settings)
        told = _begin(settings, client, who, known, beside)
        tell("look")
        told = _leave(settings, told, who, known)
        tell("tombstones")
        if client is not None:
            took = online.erase(client, settings.project, who.keys, known, told.at)
            took += online.remove(client, settings.project, who.merged, known)
            took += stream.erase(client, settings.project, who.outside, who.visitors, known)
            took += mentions.erase(client, settings.project, mart.mentions(settings), who.keys)
            told = _keep(settings, told, took)
        told = _keep(settings, told, consents.erase(settings, client, who.keys))
        tell("online")
        told = _keep(settings, told, warehouse.erase(settings, who.outside))
        tell("warehouse")
        texts = _texts(settings)
        merged = [key for text, key in texts.items() if known.of_entity(text) in told.merged]
        told = _keep(settings, told, mart.erase(settings, _keys(texts, who, known), merged))
        tell("mart")
        told = _keep(settings, told, saved.erase(settings, who.ids, beside))
        tell("saved")
        problems = [] if client is None else online.forget_written(client)
        tell("server's files")
        told = _end(settings, client, told, who, beside, problems, verify)
        tell("last look")
    return told


def reapply(settings: Settings) -> list[Place]:
    """Erase again everybody whose tombstone is in the ledger: after a backup was restored. The caller holds the home.

    They are found by the digests of whoever is there: nobody knows their ids any more.

    Returns:
        What was taken.

    Raises:
        DataError, StoreError: as in `erase`.
    """
    known = Tombstones(settings)
    if not known:
        return []
    audit.check(settings)
    places: list[Place] = []
    loaded = state.read(settings)
    identities = tables.identities(settings, loaded.identities)
    outside = sorted(known.among("outside", identities[names.OUTSIDE_ID].unique()))
    who = people(settings, outside)
    keys = set(_keys(_texts(settings), who, known))
    with _server(settings) as client:
        if client is not None:
            ledger.restore(client, settings.project, known)
            gone = known.among("customer", online.owners(client, settings.project))
            now = datetime.now(UTC)
            places += online.erase(client, settings.project, sorted(keys), known, now)
            places += online.erase_entities(client, settings.project, gone, known, now)
            places += stream.erase(client, settings.project, outside, who.visitors, known)
            places += mentions.erase(client, settings.project, mart.mentions(settings), keys)
        places += consents.erase(settings, client, sorted(keys))
        places += warehouse.erase(settings, outside)
        places += mart.erase(settings, sorted(keys), who.merged)
        places += saved.erase(settings, {*who.ids, *keys})
        if client is not None and places:
            online.forget_written(client)
    if places:
        audit.record(settings, "erase", "applied again after a restore", places=len(places), customers=len(outside))
    return places


def _texts(settings: Settings) -> dict[str, str]:
    """Entity text → join key, of everybody in the mart."""
    return {entity_text([key]): key for key in mart.known(settings)}


def _keys(texts: Mapping[str, str], who: People, known: Tombstones) -> list[str]:
    """Their join keys, and those in the mart of anybody with a tombstone: of a run before, that was killed."""
    return sorted({*who.keys, *(texts[text] for text in known.among("customer", texts))})


@contextmanager
def _server(settings: Settings) -> Iterator[Any]:
    """A connection to the online store; None where the embedded server was never started."""
    if settings.redis_url is None and not settings.valkey.exists():
        yield None
        return
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        yield client


def _find(settings: Settings, client: Any, who: People, beside: Sequence[Path]) -> list[Place]:
    places: list[Place] = []
    if client is not None:
        places += online.find(client, settings.project, who.keys)
        places += stream.find(client, settings.project, who.outside, who.visitors, Tombstones(settings))
    places += warehouse.find(settings, who.outside)
    places += consents.find(settings, who.keys)
    return [*places, *mart.find(settings, who.keys, who.nobodys(settings)), *saved.find(settings, who.ids, beside)]


def _begin(settings: Settings, client: Any, who: People, known: Tombstones, beside: Sequence[Path]) -> Certificate:
    """The certificate with all that is found, before anything is taken."""
    digests = known.digests("outside", who.outside)
    before = certificates.unfinished(settings, digests)
    told = (before or certificates.new(datetime.now(UTC), digests)).with_places(_find(settings, client, who, beside))
    if before is None:  # a run that was killed may have taken what tells
        told = msgspec.structs.replace(
            told,
            models=models.trained(settings, told.places),
            merged=tuple(sorted(known.of_entity(entity_text([key])) for key in who.merged)),
        )
    certificates.write(settings, told)
    return told


def _leave(settings: Settings, told: Certificate, who: People, known: Tombstones) -> Certificate:
    """Leave the tombstones, here and with every folder of backups."""
    left = warehouse.tombstones(settings, who.outside, told.at, told.id)
    known.add([*left, *(ledger.of_customer(known, entity_text([key]), told.at, told.id) for key in who.keys)])
    audit.record(settings, "erase", f"begun, certificate {told.id}", customers=len(who.outside))
    entry = audit.last(settings, "erase")
    folders = tuple(_tell(each, known.all()) for each in backups.known(settings))
    told = msgspec.structs.replace(told, actor="" if entry is None else entry.actor, backups=folders)
    certificates.write(settings, told)
    return told


def _tell(known: Registered, every: Sequence[Tombstone]) -> Backup:
    try:
        backups.tell(known.path, known.telling, every)
    except (OSError, MotherlodeError) as error:  # a disk that is not plugged in must not stop an erasure
        why = error.problem if isinstance(error, MotherlodeError) else error.strerror or str(error)
        return Backup(folder=known.folder, told=False, problem=why)
    return Backup(folder=known.folder, told=True)


def _keep(settings: Settings, told: Certificate, places: Iterable[Place]) -> Certificate:
    told = told.with_places(places)
    certificates.write(settings, told)
    return told


def _end(
    settings: Settings,
    client: Any,
    told: Certificate,
    who: People,
    beside: Sequence[Path],
    problems: Sequence[str],
    verify: bool | None,
) -> Certificate:
    """Look once more, and conclude."""
    found = _find(settings, client, who, beside)
    if client is not None:
        found += mentions.find(client, settings.project, mart.mentions(settings), who.keys)
    left = [f"{each.name}: {each.path}, {each.rows} rows" for each in found]
    equal = warehouse.equal(settings, who.outside)
    left += [f"{path} cannot be read, so nobody can tell whom it holds" for path in saved.unreadable(settings, beside)]
    looked = scan.size(settings) <= scan.MOST if verify is None else verify
    if looked:
        ids, keys = {*who.outside, *who.visitors}, {*who.keys, *who.nobodys(settings)}
        left += scan.find(settings, ids, keys, equal)
    remains = [*_remains(settings, told, who.ids), *problems]
    remains += [
        f"{path}: others' times or money that equal the number of an id: {', '.join(columns)}"
        for path, columns in equal.items()
    ]
    if not looked:
        remains.append("the bytes of home's files were not looked through: run it again with --verify")
    elif not all(map(scan.telling, who.outside)):
        remains.append("ids too short or too plain to be told from other numbers were not looked for byte by byte")
    told = msgspec.structs.replace(
        told,
        ended_at=None if left else datetime.now(UTC),
        outdated=tuple(mart.outdated(settings)),
        remains=tuple(remains),
        failures=tuple(left),
    )
    certificates.write(settings, told)
    what = "ended" if told.complete else "not complete"
    rows = sum(each.rows for each in told.places)
    audit.record(settings, "erase", f"{what}, certificate {told.id}", places=len(told.places), rows=rows)
    return told


def _remains(settings: Settings, told: Certificate, ids: Collection[str]) -> Iterator[str]:
    """What an erasure does not reach, or leaves by intent."""
    yield "tombstones: a keyed digest of each id, which keeps the customers out"
    if settings.identity.keyed:
        yield f"{audit.LOG}: pseudonyms of earlier acts, if any; an append-only log"
    if any((settings.logs / "access").glob("*.jsonl")):
        yield "logs/access: who asked for them, under keyed pseudonyms that no other file has; an append-only log"
    yield "the company's own files that raw was landed from: a load drops what they hold of them"
    for path in saved.holding(saved.exports(settings), ids):
        yield f"{path}: an export outside home that holds them: delete it"
    if told.models:
        yield "models: numbers that were learned from them among others: train and publish anew, then delete these"
    if told.backups:
        yield "backups: sealed copies from before, until their retention is over; a restore leaves the customers out"
