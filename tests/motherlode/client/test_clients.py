"""Both clients against the real application, and against servers that fail."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from motherlode.api import (
    MAX_CUSTOMERS,
    Campaign,
    ConsentRequest,
    ContactRequest,
    EventsRequest,
    FeaturesRequest,
    RecommendRequest,
    ScoreRequest,
    SimilarRequest,
)
from motherlode.client import (
    ApiError,
    AsyncClient,
    Budget,
    Client,
    DeadlineExceededError,
    OverloadedError,
    Retries,
    UnauthorizedError,
    UnavailableError,
)
from motherlode.errors import SettingsError
from motherlode.events import Event

ALIVE = b'{"status":"alive"}'
QUICK = Retries(tries=4, first_s=0.01, longest_s=0.05)
REFUSED = b'{"error":{"path":"$.k","message":"No.","remedy":"Ask for less."}}'


def says(status: int = 200, body: bytes = ALIVE, after_s: float = 0.0, **headers: str) -> Any:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body, after_s


def test_every_route_answers_typed(opened: Any, served: str) -> None:
    with opened(served) as client:
        score = client.score(ScoreRequest((1, "nobody"), Campaign("Type A")))
        assert [(each.customer_id, each.status) for each in score.results] == [(1, "ok"), ("nobody", "cold")]
        assert score.results[0].scores["response"] > 0
        recommended = client.recommend(RecommendRequest(("abc",), k=3, exclude_purchased=True))
        assert len(recommended.results[0].items) == 3
        assert client.features(FeaturesRequest((1,))).features["rfm"].values["recency_score"] == [5]
        event = Event(event_id=f"{opened.__name__}-1", customer_id=1, event_timestamp=datetime.now(UTC))
        assert client.events(EventsRequest((event, event))).duplicates == 1
        assert client.portrait("abc", "Type B").scores["response"] is not None
        assert client.portrait(2).customer_id == 2
        assert len(client.similar_items(SimilarRequest((1001,), k=4)).results[0].items) == 4
        at = datetime(2026, 1, 1, tzinfo=UTC)
        assert client.consent(ConsentRequest(2, "marketing", True, at)).granted is True
        told_id = f"{opened.__name__}-2"
        assert client.contact(ContactRequest(2, "marketing", "email", told_id, at)).counted is False
        assert client.alive().status == "alive"
        assert client.ready().bundle == "v1"


def test_a_batch_beyond_one_call_is_split_and_joined_in_order(opened: Any, served: str) -> None:
    asked = tuple(range(-1200, 1301))
    with opened(served, timeout_s=30.0) as client:
        score = client.score(ScoreRequest(asked))
        assert [each.customer_id for each in score.results] == list(asked)
        assert [each.customer_id for each in score.results if each.status == "ok"] == [1, 2]
        features = client.features(FeaturesRequest(asked))
        assert features.customer_ids == list(asked)
        known = [
            features.customer_ids[i] for i, each in enumerate(features.features["rfm"].status) if each == "present"
        ]
        assert known == [1, 2]
        assert {len(each) for each in features.features["rfm"].values.values()} == {len(asked)}
        recommended = client.recommend(RecommendRequest(asked[:205], k=1000))
        assert [each.customer_id for each in recommended.results] == list(asked[:205])
        name = opened.__name__
        events = tuple(Event(event_id=f"{name}{i}", customer_id=1, page="/x" * 1000) for i in range(1500))
        assert client.events(EventsRequest(events)).accepted == 1500


def test_what_the_server_refuses_says_what_and_what_to_do(opened: Any, served: str) -> None:
    with opened(served) as client, pytest.raises(ApiError) as caught:
        client.score(ScoreRequest((1,), Campaign("Type Z")))
    error = caught.value
    assert (error.status, error.path, error.tries) == (422, "$.campaign.type", 1)
    assert error.remedy == "Use one of Type A, Type B."
    assert "POST /v1/score was answered 422" in str(error)


def test_calls_one_after_another_share_a_connection(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(), says(422, REFUSED), says())
    with opened(server.url) as client:
        client.alive()
        with pytest.raises(ApiError):
            client.alive()
        client.alive()
    assert len(set(server.ports)) == 1


@pytest.mark.parametrize("closing", [{"connection": "close"}, {"x_then": "close"}], ids=["announced", "silently"])
def test_a_connection_that_the_server_closed_is_not_asked_by(
    opened: Any, told: Callable[..., Any], closing: dict[str, str]
) -> None:
    """Not even a retry is spent on it."""
    server = told(says(**closing), says())  # type: ignore[arg-type]
    with opened(server.url, budget=Budget(reserve=0)) as client:
        for _ in range(3):
            assert client.alive().status == "alive"
            time.sleep(0.05)
    assert len(set(server.ports)) == 2


def test_half_an_answer_is_none_and_is_asked_for_again(opened: Any, told: Callable[..., Any]) -> None:
    """The server ends the connection in good order, 482 bytes early."""
    server = told(says(content_length="500", x_then="close"), says())
    with opened(server.url, retries=QUICK) as client:
        assert client.alive().status == "alive"
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_asked_again(opened: Any, told: Callable[..., Any], status: int) -> None:
    server = told(says(status, b"<html>"), says(status, REFUSED), says())
    with opened(server.url, retries=QUICK) as client:
        assert client.alive().status == "alive"
    assert len(server.asked) == 3


def test_haproxys_word_for_no_replica_is_asked_again(opened: Any, told: Callable[..., Any]) -> None:
    """500 in plain text, by Ray's configuration; a replica's own 500 is JSON, and would come again."""
    server = told(says(500, b"Internal Server Error", content_type="text/plain"), says())
    with opened(server.url, retries=QUICK) as client:
        assert client.alive().status == "alive"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ApiError), (401, UnauthorizedError), (403, UnauthorizedError), (404, ApiError), (500, ApiError)],
)
def test_what_will_not_pass_is_asked_once(
    opened: Any, told: Callable[..., Any], status: int, kind: type[ApiError]
) -> None:
    server = told(says(status, REFUSED, content_type="application/json", x_request_id="r-7"))
    with opened(server.url, retries=QUICK) as client, pytest.raises(ApiError) as caught:
        client.recommend(RecommendRequest((1,)))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id, len(server.asked)) == (status, "r-7", 1)
    assert "[request r-7]" in str(caught.value)


def test_the_request_is_named_by_the_body_where_something_between_keeps_the_header(
    opened: Any, told: Callable[..., Any]
) -> None:
    body = REFUSED.removesuffix(b"}") + b',"request_id":"r-8"}'
    server = told(says(400, body, content_type="application/json"))
    with opened(server.url) as client, pytest.raises(ApiError) as caught:
        client.alive()
    assert caught.value.request_id == "r-8"
    assert "[request r-8]" in str(caught.value)


def test_retry_after_is_waited_for(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(429, REFUSED, retry_after="1"), says())
    with opened(server.url, retries=QUICK) as client:
        started = time.monotonic()
        client.alive()
        assert 1.0 <= time.monotonic() - started < 2.0


def test_a_retry_after_beyond_the_time_is_not_waited_for(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(429, REFUSED, retry_after="3600"), says())
    with opened(server.url, retries=QUICK, timeout_s=5.0) as client:
        started = time.monotonic()
        with pytest.raises(OverloadedError):
            client.alive()
        assert time.monotonic() - started < 1.0
    assert len(server.asked) == 1


def test_an_outage_is_not_multiplied(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(503, REFUSED))
    budget = Budget(share=0.1, reserve=5)
    with opened(server.url, retries=Retries(4, 0.0, 0.0), budget=budget) as client:
        for _ in range(100):
            with pytest.raises(UnavailableError):
                client.alive()
    assert 100 < len(server.asked) <= 100 + 10 + 5


def test_a_slow_answer_ends_with_the_time_of_the_call(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(after_s=5.0))
    with opened(server.url) as client:
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            client.alive(timeout_s=0.3)
        assert 0.29 <= time.monotonic() - started < 0.8


def test_retries_end_with_the_time_of_the_call(opened: Any, told: Callable[..., Any]) -> None:
    server = told(says(503, REFUSED))
    with opened(server.url, retries=Retries(10_000, 0.05, 0.05), budget=Budget(reserve=10_000)) as client:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            client.alive(timeout_s=0.4)
        assert time.monotonic() - started < 0.8
    assert len(server.asked) > 3


def test_an_answer_that_drips_ends_with_the_time_of_the_call(opened: Any) -> None:
    """Each byte comes before a timeout of one receive would: only the time of the whole call ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopping = threading.Event()

        def drip() -> None:
            near, _ = listener.accept()
            with near:
                near.recv(65536)
                near.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                while not stopping.wait(0.1):
                    try:
                        near.sendall(b"x")
                    except OSError:  # the client hung up
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with opened(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            started = time.monotonic()
            with pytest.raises(DeadlineExceededError):
                client.alive(timeout_s=0.5)
            assert time.monotonic() - started < 1.0
        stopping.set()
        thread.join()


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_reset_connection_is_replaced(opened: Any, served: str, proxied: Callable[..., Any], cut: int) -> None:
    """Before the answer, in its status line, in its body."""
    proxy = proxied(served, cut, cut)
    with opened(proxy.url, retries=QUICK) as client:
        assert client.score(ScoreRequest((1,))).results[0].status == "ok"
        assert client.score(ScoreRequest((2,))).results[0].customer_id == 2
    assert proxy.connections == 3


def test_events_whose_answer_was_lost_count_once(opened: Any, served: str, proxied: Callable[..., Any]) -> None:
    proxy = proxied(served, 10)
    event = Event(event_id=f"lost {opened.__name__}", customer_id=2)
    with opened(proxy.url, retries=QUICK) as client:
        answer = client.events(EventsRequest((event,)))
    assert (answer.accepted, answer.duplicates) == (0, 1)


def test_nobody_listens(opened: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with opened(f"http://127.0.0.1:{port}", retries=QUICK) as client, pytest.raises(UnavailableError) as caught:
        client.alive()
    assert (caught.value.status, caught.value.tries) == (None, 4)


def test_the_key_is_sent_and_follows_no_redirect(opened: Any, told: Callable[..., Any]) -> None:
    elsewhere = told(says())
    server = told(says(), says(307, b"", location=elsewhere.url))
    with opened(f"{server.url}/behind/", "k-secret") as client:
        client.alive()
        with pytest.raises(ApiError) as caught:
            client.alive()
        assert "k-secret" not in repr(vars(client))
    method, path, headers, _ = server.asked[0]
    assert (method, path, headers["authorization"]) == ("GET", "/behind/healthz", "Bearer k-secret")
    assert caught.value.status == 307
    assert elsewhere.asked == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for 127.0.0.1, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def test_tls_answers_who_trusts_the_certificate_and_nobody_else(
    opened: Any, told: Callable[..., Any], certificate: Path
) -> None:
    server = told(says(), certificate=certificate)
    with opened(server.url, "k-1", ca_file=certificate) as client:
        assert [client.alive().status for _ in range(2)] == ["alive"] * 2
    assert len(set(server.ports)) == 1
    with opened(server.url, "k-2", retries=QUICK) as client, pytest.raises(UnavailableError, match="TLS") as caught:
        client.alive()
    assert caught.value.tries == 1
    assert all(headers["authorization"] == "Bearer k-1" for _, _, headers, _ in server.asked)


def test_no_customer_stands_in_an_error_or_a_log(
    opened: Any, told: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"error":{"path":"/v1/customers/Jane%20Doe","message":"Nothing at /v1/customers/Jane%20Doe.","remedy":""}}'
    server = told(says(503, b""), says(404, body))
    caplog.set_level(logging.DEBUG)
    with opened(server.url, retries=QUICK) as client, pytest.raises(ApiError) as caught:
        client.portrait("Jane Doe")
    assert server.asked[0][1] == "/v1/customers/Jane%20Doe"
    assert caught.value.path == "/v1/customers/{customer_id}"
    assert caught.value.__cause__ is None
    told_all = str(caught.value) + repr(vars(caught.value)) + caplog.text
    assert "again" in caplog.text
    assert "Jane" not in told_all


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status":7}', b"\xff"])
def test_an_answer_that_is_none_of_ours_is_an_error(opened: Any, told: Callable[..., Any], body: bytes) -> None:
    with opened(told(says(200, body)).url) as client, pytest.raises(ApiError) as caught:
        client.alive()
    assert "no Alive" in str(caught.value)


def test_an_answer_of_a_newer_server_is_read(opened: Any, told: Callable[..., Any]) -> None:
    with opened(told(says(200, b'{"status":"alive","news":[1]}')).url) as client:
        assert client.alive().status == "alive"


def test_threads_and_tasks_share_a_client_and_get_their_own_answers(opened: Any, served: str) -> None:
    asked = [(i % 40, f"c{i}") for i in range(200)]
    # 200 at once are more than the server takes: it sheds some, and they come again.
    patient: dict[str, Any] = {"timeout_s": 30.0, "retries": Retries(100), "budget": Budget(reserve=10_000)}
    if opened is Client:
        with Client(served, **patient) as client, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda ids: client.score(ScoreRequest(ids)), asked))
    else:

        async def together() -> list[Any]:
            async with AsyncClient(served, **patient) as client:
                return list(await asyncio.gather(*(client.score(ScoreRequest(ids)) for ids in asked)))

        answers = asyncio.run(together())
    assert [tuple(each.customer_id for each in answer.results) for answer in answers] == asked


def test_an_interrupted_call_leaves_no_answer_to_the_next(told: Callable[..., Any]) -> None:
    server = told(says(200, b'{"status":"alive","late":1}', 0.3), says())

    async def interrupted() -> None:
        async with AsyncClient(server.url) as client:
            task = asyncio.create_task(client.alive())
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.alive()).status == "alive"

    asyncio.run(interrupted())
    assert len(set(server.ports)) == 2

    server = told(says(200, b'{"status":"alive"}', 0.3), says())
    with Client(server.url) as client:

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.alive()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert client.alive().status == "alive"
    assert len(set(server.ports)) == 2


def test_a_fork_does_not_ask_by_its_parents_connection(told: Callable[..., Any]) -> None:
    server = told(says())
    with Client(server.url) as client:
        client.alive()
        child = os.fork()
        if child == 0:
            os._exit(0 if client.alive().status == "alive" else 1)
        assert os.waitpid(child, 0)[1] == 0
        client.alive()
    assert server.ports[0] == server.ports[2] != server.ports[1]


def test_an_asyncio_client_that_was_not_entered_says_so() -> None:
    with pytest.raises(SettingsError, match="async with"):
        asyncio.run(AsyncClient("http://127.0.0.1:9").alive())


def test_a_server_that_is_killed_and_started_again_costs_no_call(both: tuple[Any, Any], company: Any) -> None:
    """SIGKILL while both clients ask without a pause; they wait it out within the time of the call."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options: dict[str, Any] = {"timeout_s": 40.0, "retries": Retries(1000, 0.05, 0.1), "budget": Budget(reserve=10_000)}
    process = _start(company, port)
    started_again = threading.Event()

    def ask(kind: Any) -> tuple[int, int]:
        """Right answers before the new server was started, and after."""
        before = after = 0
        with kind(f"http://127.0.0.1:{port}", **options) as client:
            while after < 20:
                assert client.score(ScoreRequest((1,))).results[0].status == "ok"
                after += started_again.is_set()
                before += not started_again.is_set()
        return before, after

    try:
        with ThreadPoolExecutor(2) as pool:
            asking = [pool.submit(ask, kind) for kind in both]
            with Client(f"http://127.0.0.1:{port}", **options) as client:
                client.ready()
            time.sleep(0.3)
            process.kill()
            process.wait()
            process = _start(company, port)
            started_again.set()
            assert all(before > 0 for before, _ in (each.result() for each in asking))
    finally:
        process.kill()
        process.wait()


def _start(company: Any, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvicorn", "--factory", "serving.http:from_env"]
    environment = os.environ | {
        "MOTHERLODE_HOME": str(company.settings.home),
        "REDIS_URL": company.settings.redis_url,
        "MOTHERLODE_LOCK": "off",
    }
    options = ["--port", str(port), "--log-level", "critical"]
    return subprocess.Popen([*command, *options], env=environment, stderr=subprocess.DEVNULL)


def test_the_limit_that_splits_is_the_servers(served: str) -> None:
    """A single part of the largest size is taken: nothing smaller need be sent."""
    with Client(served) as client:
        assert len(client.score(ScoreRequest(tuple(range(MAX_CUSTOMERS)))).results) == MAX_CUSTOMERS
