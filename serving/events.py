"""Events taken in: checked, appended to the stream, or refused. No Ray, no HTTP server.

With the lock off, whoever reaches the endpoint may write. So it then answers this machine only: where the server
listens beyond loopback, where the sender is another machine, or a web page of elsewhere, it refuses. With the lock on,
a key with the scope `events` is what is asked for, from wherever it comes.
"""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import redis

from motherlode.api import MAX_EVENTS, EventsAnswer, EventsRequest
from motherlode.events import Appender, BacklogError, Event, late
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings
from serving.lock.policy import is_locked, is_loopback
from serving.problems import Refusal

_PATH: Final = "/v1/events"
_RETRY: Final = {"Retry-After": "1"}
_AGAIN: Final = "Send the same events again in a second: by their ids none counts twice."


class Receiver:
    """Takes events in.

    Args:
        settings: where the server listens, and how long Redis may take.
        client: an asyncio connection.
    """

    def __init__(self, settings: Settings, client: Any) -> None:
        self._appender = Appender(client, settings.project)
        self._tombstones = Tombstones(settings)
        self._budget_s = settings.redis_budget_s
        self._locked = is_locked(settings)
        self._here = is_loopback(settings.host)

    async def receive(self, request: EventsRequest, sender: str | None, origin: str | None) -> EventsAnswer:
        """Append events: all of them or none.

        Args:
            request: the events.
            sender: the address that they come from; None for a Unix socket.
            origin: the web page that sends them, as a browser says.

        Raises:
            Refusal: 403 from elsewhere; 413 too many; 422 one is in the future; 503 too many wait, or Redis does not
                answer.
        """
        self.require_here(sender, origin)
        events = request.events
        if len(events) > MAX_EVENTS:
            message, remedy = f"{len(events)} events are too many.", f"Send at most {MAX_EVENTS} in one call."
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "$.events", message, remedy)
        if (place := late(events, datetime.now(UTC))) is not None:
            path = f"$.events[{place}].event_timestamp"
            message = f"{events[place].at.isoformat()} is in the future."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, path, message, "Check the sender's clock and its offset.")
        # Their bytes are not to enter Redis' files again. The sender is not told who was erased.
        kept = [event for event in events if not self._erased(event)]
        try:
            async with asyncio.timeout(self._budget_s):
                appended = await self._appender.append(kept)
        except BacklogError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, error.problem, error.remedy, _RETRY) from error
        except (TimeoutError, redis.TimeoutError) as error:
            message = f"Redis gave no answer within {self._budget_s:g} s."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, message, _AGAIN, _RETRY) from error
        except (redis.RedisError, OSError) as error:
            message = "Redis does not take events now."
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, _PATH, message, _AGAIN, _RETRY) from error
        return EventsAnswer(appended.accepted + len(events) - len(kept), appended.duplicates)

    def _erased(self, event: Event) -> bool:
        """Whether its customer or its visitor has a tombstone."""
        who, visitor = event.customer, event.visitor_id
        return bool(self._tombstones) and (
            (who is not None and self._tombstones.has("outside", who))
            or (visitor is not None and self._tombstones.has("visitor", visitor))
        )

    def require_here(self, sender: str | None, origin: str | None, path: str = _PATH) -> None:
        """Refuse whoever is not on this machine: without a lock, what changes state is taken from here alone.

        Raises:
            Refusal: 403.
        """
        if self._locked:
            return  # whoever comes this far has a key with the scope
        what = path.rpartition("/")[2].capitalize()
        if not self._here:
            message = f"The server listens beyond this machine: {what.lower()} is taken from this machine alone."
            remedy = "Serve on 127.0.0.1 (MOTHERLODE_HOST), or with the lock (MOTHERLODE_LOCK)."
        elif sender is not None and not is_loopback(sender) and sender not in _addresses():
            message, remedy = f"{what}: taken from this machine alone.", "Send them from the machine that serves."
        elif origin is not None and not is_loopback(urlsplit(origin).hostname or ""):
            message, remedy = f"{what}: a web page of elsewhere sends none.", "Have the site's own server send them."
        else:
            return
        raise Refusal(HTTPStatus.FORBIDDEN, path, message, remedy)


def named(request: EventsRequest) -> tuple[int | str, ...]:
    """The customers that events name, each once; what is known by its visitor alone names none."""
    return tuple({each.customer_id for each in request.events if each.customer_id is not None})


def _addresses() -> set[str]:
    """This machine's own: a proxy on it may call by any of them."""
    return {address.address for each in psutil.net_if_addrs().values() for address in each}
