"""The asyncio client: aiohttp, which takes a third of httpx's time a call, a sixth with 16 at once (decision 0038)."""

import asyncio
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
import yarl

from motherlode.api import (
    Alive,
    ConsentAnswer,
    ConsentRequest,
    ContactAnswer,
    ContactRequest,
    EventsAnswer,
    EventsRequest,
    FeaturesAnswer,
    FeaturesRequest,
    Portrait,
    Ready,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.client import calls
from motherlode.client.talk import CONNECT_S, SLOW, Fault, Reply, Send, Talk
from motherlode.client.told import Told
from motherlode.errors import SettingsError

T = TypeVar("T")

_CONNECTIONS: Final = 100
"""At once; more calls wait for one."""
_NEVER: Final = float("inf")
"""aiohttp rounds times up above this."""


class AsyncClient(Told):
    """Asks a server: `async with AsyncClient(url) as client`. It belongs to the event loop that it was entered in.

    What it is told, and how it divides calls: see `motherlode.client.told.Told`.
    """

    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        address = self._address
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=True if address.tls is None else address.tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=address.headers,
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client is at its end."""
        if self._session is not None:
            await self._session.close()

    async def score(self, request: ScoreRequest, timeout_s: float | None = None) -> ScoreAnswer:
        """Segment and scores of customers.

        Raises:
            ApiError: see `motherlode.client.errors`; the same for every call.
        """
        return await self._run(calls.score(request, self._manner, self._within(timeout_s)))

    async def recommend(self, request: RecommendRequest, timeout_s: float | None = None) -> RecommendAnswer:
        """Items for customers."""
        return await self._run(calls.recommend(request, self._manner, self._within(timeout_s)))

    async def similar_items(self, request: SimilarRequest, timeout_s: float | None = None) -> SimilarAnswer:
        """Items like each of some items."""
        return await self._run(calls.similar_items(request, self._manner, self._within(timeout_s)))

    async def features(self, request: FeaturesRequest, timeout_s: float | None = None) -> FeaturesAnswer:
        """Features of customers, by view and column."""
        return await self._run(calls.features(request, self._manner, self._within(timeout_s)))

    async def events(self, request: EventsRequest, timeout_s: float | None = None) -> EventsAnswer:
        """Send what happened. All events of a request are taken or none; more than 1000 are several requests. After
        an error send the same again: by their ids none counts twice. So a retry may count as `duplicates` what its
        first try brought.
        """
        return await self._run(calls.events(request, self._manner, self._within(timeout_s)))

    async def consent(self, request: ConsentRequest, timeout_s: float | None = None) -> ConsentAnswer:
        """Keep what a customer said of a purpose. It is repeated only where the request says when that was (`at`)."""
        return await self._run(calls.consent(request, self._manner, self._within(timeout_s)))

    async def contact(self, request: ContactRequest, timeout_s: float | None = None) -> ContactAnswer:
        """Tell that a customer was contacted. A retry may be told that it does not count: its first try did."""
        return await self._run(calls.contact(request, self._manner, self._within(timeout_s)))

    async def portrait(
        self,
        customer_id: int | str,
        campaign_type: str | None = None,
        purpose: str | None = None,
        timeout_s: float | None = None,
    ) -> Portrait:
        """Everything known of a customer; the response score is for the campaign type."""
        talk = calls.portrait(customer_id, campaign_type, purpose, self._manner, self._within(timeout_s))
        return await self._run(talk)

    async def alive(self, timeout_s: float | None = None) -> Alive:
        """Whether the server's process answers."""
        return await self._run(calls.alive(self._manner, self._within(timeout_s)))

    async def ready(self, timeout_s: float | None = None) -> Ready:
        """Whether the server can answer, and by which bundle."""
        return await self._run(calls.ready(self._manner, self._within(timeout_s)))

    async def _run(self, talk: Talk[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Send):
                    step = talk.send(await self._send(step))
                else:
                    await asyncio.sleep(step.seconds)
                    step = talk.send(None)
        except StopIteration as done:
            answer: T = done.value
            return answer

    async def _send(self, send: Send) -> Reply | Fault:
        """One try."""
        if self._session is None or self._session.closed:
            raise SettingsError("The client is not open.", "Use it within `async with AsyncClient(…) as client`.")
        question, address = send.question, self._address
        url = yarl.URL(address.origin + address.prefix + question.path, encoded=True)
        timeout = aiohttp.ClientTimeout(send.within_s, sock_connect=CONNECT_S, ceil_threshold=_NEVER)
        try:
            async with self._session.request(
                question.method, url, data=question.body, timeout=timeout, allow_redirects=False
            ) as response:
                body = await response.read()
                return Reply(response.status, {name.lower(): text for name, text in response.headers.items()}, body)
        except aiohttp.ClientSSLError as error:
            return Fault(f"no TLS connection ({type(error).__name__})", again=False)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Fault(f"no connection ({type(error).__name__})")
        except TimeoutError:
            return Fault(SLOW, late=True)
        except (aiohttp.ClientError, OSError) as error:
            return Fault(f"the connection broke ({type(error).__name__})")
