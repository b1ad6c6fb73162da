"""Who may be answered personally for a purpose, looked up while the features are; what the others get.

No Ray, no HTTP.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from typing import Any, Final

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from motherlode import consent, contacts, redis_server
from motherlode.api import (
    ConsentAnswer,
    ConsentRequest,
    ContactAnswer,
    ContactRequest,
    FeaturesAnswer,
    FeatureView,
    RowStatus,
    Status,
)
from motherlode.consent import Ledger, Purposes, Rule, Word
from motherlode.contacts import Caps
from motherlode.errors import MotherlodeError
from motherlode.online.keys import bucket, entity_texts
from motherlode.online.reader import Beside, now_us
from motherlode.online.tombstones import Tombstones
from motherlode.people import People
from motherlode.settings import Settings
from serving.problems import Refusal, unknown_purpose
from serving.reading import UnavailableError, reason
from serving.untold import Untold

_log: Final = logging.getLogger(__name__)

_PATH: Final = "/v1/consent"
_CONTACTS: Final = "/v1/contacts"
_RETRY: Final = {"Retry-After": "1"}
_EVERY_S: Final = 0.5
_HANGS_S: Final = 2.0
_AHEAD_MS: Final = 300_000
"""How far clocks may differ."""
_AGAIN: Final = "Send it again in a second: a word that is said twice counts once."
_LATER: Final = {"Retry-After": "60"}
_ANEW: Final = "Run `motherlode features`, which says anew who is one person: it counts for every id then."


@dataclass(frozen=True)
class Withheld:
    """Why a customer gets no personal answer.

    Attributes:
        status: of the answer.
        note: for people.
    """

    status: Status
    note: str

    @property
    def row_status(self) -> RowStatus:
        """Of each row of features."""
        return "capped" if self.status == "capped" else "withheld"


Verdicts = Sequence[Withheld | None]
"""N customers' reasons; None for whoever is answered personally."""


@dataclass(frozen=True)
class Question:
    """What is looked up of N customers, beside their features.

    Attributes:
        purpose: of the answers.
        n: customers.
        said, told: how many keys of consents and of contacts there are: N for each key that we know customers by.
        late: place of a customer → what they said lately, signed times.
        buckets: each name's; empty where nobody ever said anything.
        marks: the buckets whose completeness is looked up.
        beside: all of these keys, and their values once they are read.
    """

    purpose: str
    n: int
    said: int
    told: int
    late: Mapping[int, Sequence[int]]
    buckets: Sequence[int]
    marks: Sequence[int]
    beside: Beside


class Consents:
    """Tells who may be answered personally.

    Args:
        settings: whose purposes, caps and ledger.

    Raises:
        SettingsError: MOTHERLODE_PURPOSES or MOTHERLODE_CAPS cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        self._identity = settings.identity
        self._purposes = Purposes.of(settings)
        self._caps = Caps.of(settings)
        self._ledger = Ledger(settings)
        self._untold = Untold(settings)
        self._used, self._look_at = False, 0.0

    def check(self, purpose: str) -> None:
        """Check that there is such a purpose.

        Raises:
            UnknownPurposeError: naming those there are.
        """
        self._purposes.rule(purpose)

    def free(self, purpose: str) -> bool:
        """Whether everybody may be answered, so that there is nothing to look up."""
        return self._purposes.rules[purpose] == "free" and purpose not in self._caps.of_purpose

    def question(self, purpose: str, ids: Sequence[int | str]) -> Question:
        """What to look up.

        Args:
            purpose: one that passed `check`, and is not `free`.
            ids: N outside ids, one at least.
        """
        names = list(chain.from_iterable(map(entity_texts, self._identity.every_join_key_of(ids))))
        asks = self._purposes.rules[purpose] != "free"
        said = [consent.consent_key(self._project, name) for name in names] if asks else []
        capped = purpose in self._caps.of_purpose
        told = [contacts.contacts_key(self._project, name) for name in names] if capped else []
        # Redis that lost its data knows of no withdrawal: until it was told again, nobody can tell.
        buckets = [bucket(name) for name in names] if asks and self._is_used() else []
        marks = {number: consent.complete_key(self._project, number) for number in sorted(set(buckets))}
        beside = Beside([*said, *told, *marks.values()])
        late = self._late(purpose, names, len(ids)) if buckets else {}
        return Question(purpose, len(ids), len(said), len(told), late, buckets, tuple(marks), beside)

    def verdicts(self, question: Question, at_us: int) -> Verdicts:
        """Of each of N customers, why not; where nobody can tell, nobody is answered personally.

        Args:
            question: whose values were read.
            at_us: the time to judge by.
        """
        purpose, n, found = question.purpose, question.n, question.beside.values
        rule, end = self._purposes.rules[purpose], question.said + question.told
        there = dict(zip(question.marks, found[end:], strict=True))
        return [
            _unknown(purpose)
            if question.buckets and any(there[number] is None for number in question.buckets[i::n])
            else _judged(purpose, rule, found[i : question.said : n], question.late.get(i, ()))
            or (self._capped(purpose, found[question.said + i : end : n], at_us // 1000) if question.told else None)
            for i in range(n)
        ]

    def _late(self, purpose: str, names: Sequence[str], n: int) -> Mapping[int, Sequence[int]]:
        """What N customers said lately, under each of their names."""
        recent, late = self._untold.of(purpose), dict[int, list[int]]()
        if not recent.keys().isdisjoint(names):
            for place, name in enumerate(names):
                if name in recent:
                    late.setdefault(place % n, []).append(recent[name])
        return late

    def _is_used(self) -> bool:
        """Whether anybody ever said anything; looked up a few times a second until somebody did."""
        if not self._used and (now := time.monotonic()) >= self._look_at:
            self._used, self._look_at = bool(self._ledger), now + _EVERY_S
        return self._used

    def _capped(self, purpose: str, raw: Sequence[bytes | None], now_ms: int) -> Withheld | None:
        try:
            known = [contact for each in raw for contact in contacts.decode(each, purpose)]
        except msgspec.DecodeError:
            return Withheld("capped", f"how often the customer was contacted for {purpose!r} is unknown")
        if not self._caps.reached(purpose, known, now_ms):
            return None
        return Withheld("capped", f"contacted for {purpose!r} as often as may be")


class Listener:
    """Takes in what customers say of purposes.

    Args:
        settings: whose ledger, and how long Redis may take.
        client: an asyncio connection.
    """

    def __init__(self, settings: Settings, client: Any) -> None:
        self._settings = settings
        self._client = client
        self._purposes = Purposes.of(settings)
        self._caps = Caps.of(settings)
        self._ledger = Ledger(settings)
        self._people = People(settings)
        self._tombstones = Tombstones(settings)

    async def count(self, request: ContactRequest) -> ContactAnswer:
        """Count a contact, where a cap asks for it.

        Raises:
            Refusal: 422 the purpose is unknown, or the time lies ahead; 503 Redis does not take it.
        """
        at = request.at or datetime.now(UTC)
        self._rule(request.purpose)
        ms = _past(at)
        if request.purpose not in self._caps.of_purpose:
            return ContactAnswer(counted=False)
        names = self._names(request.customer_id)
        project, window_ms = self._settings.project, self._caps.window_ms(request.purpose)
        contact = ms, request.purpose, request.contact_id
        try:
            every = [names[0], *self._people.others(names)]
        except MotherlodeError as error:
            _log.error("Who is one person cannot be read.", exc_info=error)
            message = "It is not counted: who is one person cannot be read."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _CONTACTS, message, _AGAIN, _RETRY) from error
        counted = []
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                for name in every:
                    digest = self._tombstones.of_entity(name)
                    call = contacts.call(project, name, contact, digest, window_ms, now_us() // 1000)
                    counted.append(await self._client.eval(*call) == 1)
                return ContactAnswer(counted=counted[0])
        except (TimeoutError, redis.RedisError, OSError) as error:
            message = f"It is not counted: {reason(error, self._settings.redis_budget_s)}."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _CONTACTS, message, _AGAIN, _RETRY) from error

    async def hear(self, request: ConsentRequest) -> ConsentAnswer:
        """Keep a word: it is in the ledger, on the disk, and in Redis when this returns. Erased customers' is dropped,
        without a word about it.

        Raises:
            Refusal: 422 the purpose is unknown or free, or the time lies ahead; 503 the disk or Redis does not take it,
                or, of a withdrawal, nobody can tell which other ids the person has: its own is in effect then.
        """
        at = request.at or datetime.now(UTC)
        if self._rule(request.purpose) == "free":
            message, remedy = f"{request.purpose!r} needs no consent.", "See MOTHERLODE_PURPOSES."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "$.purpose", message, remedy)
        ms = _past(at)
        names = self._names(request.customer_id)
        word = Word(names[0], request.purpose, request.granted, ms)
        try:
            kept, alone = await asyncio.to_thread(self._keep, word, names)
        except (OSError, MotherlodeError) as error:
            _log.error("The ledger of consents takes no word.", exc_info=error)
            message = "The ledger of consents cannot be written."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, message, _AGAIN, _RETRY) from error
        try:
            async with asyncio.timeout(self._settings.redis_budget_s):
                for call in consent.calls(self._settings.project, kept, self._tombstones):
                    await self._client.eval(*call)
        except (TimeoutError, redis.RedisError, OSError) as error:
            message = f"It is kept, and not in effect yet: {reason(error, self._settings.redis_budget_s)}."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, message, _AGAIN, _RETRY) from error
        if alone is not None:
            message = "It is kept and in effect under this id, not yet under others that the person may have."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, message, _ANEW, _LATER) from alone
        return ConsentAnswer(word.purpose, word.granted, at.isoformat())

    def _keep(self, word: Word, names: Sequence[str]) -> tuple[list[Word], Exception | None]:
        """Into the ledger: the customer's own word first; and why the person's other names have none yet."""
        kept = self._ledger.add([word])
        try:
            _, *others = self._people.words(word, names)
            return ([*kept, *self._ledger.add(others)] if others else kept), None
        except (OSError, MotherlodeError) as error:
            _log.error("A withdrawal is kept under one of a person's names alone.", exc_info=error)
            return kept, error

    def _names(self, customer_id: int | str) -> list[str]:
        """What a customer is called, the current name first."""
        return list(entity_texts(self._settings.identity.join_keys(customer_id)))

    def _rule(self, purpose: str) -> Rule:
        try:
            return self._purposes.rule(purpose)
        except consent.UnknownPurposeError as error:
            raise unknown_purpose(error, "$.purpose") from None


def _past(at: datetime) -> int:
    """Milliseconds since 1970 UTC of a time that is over.

    Raises:
        Refusal: 422 it is not.
    """
    ms = int(at.timestamp() * 1000)
    if not consent.TABLES < ms <= now_us() // 1000 + _AHEAD_MS:
        message, remedy = f"{at.isoformat()} is no time at which that was.", "Check the sender's clock."
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "$.at", message, remedy)
    return ms


class Keeper:
    """Sees that Redis knows what the ledger says: after it lost its data, or when another process could not tell it.

    Args:
        settings: bound to a Redis.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger = Ledger(settings)
        self._tombstones = Tombstones(settings)
        self._client: Any = None

    def keep_up(self) -> int:
        """Once; returns how many words were told.

        Raises:
            UnavailableError: Redis gives no answer, or the ledger cannot be read: why.
        """
        try:
            if self._client is None:
                # A stop waits for this thread: a server that hangs must not keep it.
                self._client = redis_server.connect(
                    self._settings,
                    socket_timeout=_HANGS_S,
                    socket_connect_timeout=_HANGS_S,
                    retry=Retry(NoBackoff(), 0),
                )
            return consent.keep_up(self._client, self._settings, self._ledger, self._tombstones)
        except (redis.RedisError, OSError) as error:
            raise UnavailableError(reason(error, self._settings.redis_budget_s)) from error
        except MotherlodeError as error:
            raise UnavailableError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()


async def keep_up(settings: Settings, kept: Callable[[], object]) -> None:
    """Every half second, for ever: see that Redis knows what the ledger says; `kept` is called when it does."""
    keeper, problem = Keeper(settings), ""
    try:
        while True:
            try:
                await asyncio.to_thread(keeper.keep_up)
                problem = ""
                kept()
            except UnavailableError as error:  # until then nobody is answered personally where consent is needed
                if str(error) != problem:
                    _log.warning("Consents cannot be told to Redis: %s.", error)
                problem = str(error)
            except Exception:  # noqa: BLE001 - the next time may go better; without it a word would count late
                _log.exception("Consents cannot be told to Redis.")
            await asyncio.sleep(_EVERY_S)
    finally:
        keeper.close()


def hide(answer: FeaturesAnswer, verdicts: Verdicts) -> FeaturesAnswer:
    """The features without those of the customers that are withheld."""
    if not any(verdicts):
        return answer
    views = {name: _hidden(view, verdicts) for name, view in answer.features.items()}
    notes = list(dict.fromkeys(each.note for each in verdicts if each is not None))
    return msgspec.structs.replace(answer, features=views, notes=[*answer.notes, *notes])


def _hidden(view: FeatureView, verdicts: Verdicts) -> FeatureView:
    return FeatureView(
        [status if each is None else each.row_status for status, each in zip(view.status, verdicts, strict=True)],
        _without(view.age_s, verdicts),
        {name: _without(values, verdicts) for name, values in view.values.items()},
    )


def _without(values: Sequence[Any], verdicts: Verdicts) -> list[Any]:
    return [value if each is None else None for value, each in zip(values, verdicts, strict=True)]


def _judged(purpose: str, rule: Rule, raw: Sequence[bytes | None], late: Sequence[int]) -> Withheld | None:
    """By what a customer said, under each of their names, and what of it Redis may not know yet."""
    try:
        said = [words[purpose] for words in map(consent.decode, raw) if purpose in words]
    except msgspec.DecodeError:
        return _unknown(purpose)
    said.extend(late)
    return None if consent.allows(rule, said) else Withheld("withheld", f"there is no consent to {purpose!r}")


def _unknown(purpose: str) -> Withheld:
    return Withheld("withheld", f"consent to {purpose!r} is unknown: redis lost it, and is being told again")
