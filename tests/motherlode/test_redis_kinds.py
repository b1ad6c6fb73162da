"""One contract on every kind of connection: a server's socket and port, users, TLS, a cluster, sentinels; Redis too.

Real servers throughout: the embedded Valkey's binary, and for TLS a Redis of the system's, since that binary has none.
"""

import asyncio
import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.cluster import RedisCluster

from feature_repo.erasure import mentions
from feature_repo.erasure import online as erasing
from feature_repo.erasure import stream as waiting
from feature_repo.freshness import online as freshness
from feature_repo.live import consumer
from feature_repo.mart.erasure import Mentions
from feature_repo.stores import plan, shadow
from feature_repo.stores.compare import Thresholds, compare
from feature_repo.stores.rows import Packed
from motherlode import redis_server
from motherlode.errors import StoreError
from motherlode.events import Appender, Event
from motherlode.online import generations, live, tombstones
from motherlode.online.keys import row_key
from motherlode.online.reader import AsyncRowReader, RowReader
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema, Values, encode
from motherlode.settings import Settings

PROJECT = "project"
SCHEMA = Schema("v", (Column("x", "float64"),))
TARGET = Target("v", owned=True)
CUSTOMERS = [f"c{i}" for i in range(700)]
PASSWORD = "p@ss:w/rd?#"
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "online.md").read_text().partition("\nA user of its own needs")[2]


def commands(*parts: str) -> list[str]:
    """What docs/online.md says a user needs: for reading and writing, and for parts of it named by a command."""
    lines = DOCUMENTED.replace("\n  ", " ").split("\n")
    (every,) = (line for line in lines if "ACL SETUSER" in line)
    found = [line.partition("need")[2] for part in parts for line in lines if line.startswith("- ") and part in line]
    assert len(found) == len(parts)
    return re.findall(r"\+[a-z|@]+", " ".join([every, *found]))


def embedded() -> list[str]:
    return [str(redis_server._binary())]


def system() -> list[str] | None:
    """A Redis or Valkey of the system's, which speaks TLS: the command's first words, or None."""
    for name in ("redis-server", "valkey-server", "redis-check-rdb"):
        if path := shutil.which(name):
            return [path]
    return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(folder: Path, program: list[str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server, until the block ends. Debian's one binary is a server where it is called one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["redis-server", *arguments, "--dir", str(folder), "--save", ""]
    if "--sentinel" in arguments:
        command = ["redis-server", *arguments]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, executable=program[0], cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(client: Callable[[], Any]) -> None:
    """Wait until a server is up."""
    until = time.monotonic() + 20
    while True:
        try:
            with client() as connection:
                connection.ping()
                return
        except (redis.RedisError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def on(port: int, **options: Any) -> Callable[[], Any]:
    return lambda: redis.Redis(port=port, **options)


# --------------------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, and `server` and `client` with a `.pem` and a `.key` that it signed."""
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.now(UTC)

    def signed(name: str, by: tuple[Any, Any] | None) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if by is None else by[0].subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        certificate = builder.sign(key if by is None else by[1], hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.key").write_bytes(key.private_bytes(*form))
        return certificate, key

    ca = signed("ca", None)
    signed("server", ca)
    signed("client", ca)
    signed("stranger", None)
    return folder


def trusting(folder: Path, who: str = "client") -> str:
    """The options of a URL that trusts the test's authority and shows a client's certificate."""
    return f"ssl_ca_certs={folder}/ca.pem&ssl_certfile={folder}/{who}.pem&ssl_keyfile={folder}/{who}.key"


def tls_options(folder: Path, port: int) -> list[str]:
    return [
        *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes"),
        *("--tls-cert-file", f"{folder}/server.pem", "--tls-key-file", f"{folder}/server.key"),
        *("--tls-ca-cert-file", f"{folder}/ca.pem"),
    ]


# --------------------------------------------------------------------------- the kinds


def system_or_skip() -> list[str]:
    program = system()
    if program is None:
        lack = "No Redis of the system's is installed: run scripts/install_system_packages.sh."
        if os.environ.get("CI"):
            pytest.fail(lack)
        pytest.skip(lack)
    return program


def socketed(stack: ExitStack, folder: Path, certificates: Path) -> str:
    path = folder / "a socket"
    stack.enter_context(started(folder, embedded(), "--port", "0", "--unixsocket", str(path)))
    answers(lambda: redis.Redis(unix_socket_path=str(path)))
    return f"unix://{quote(str(path))}?db=2"


def plain_redis(stack: ExitStack, folder: Path, certificates: Path) -> str:
    port = free_port()
    stack.enter_context(started(folder, system_or_skip(), "--port", str(port)))
    answers(on(port))
    return f"redis://127.0.0.1:{port}/1"


def user(stack: ExitStack, folder: Path, certificates: Path) -> str:
    """A user who may touch this project's keys alone, with the commands that the documentation names."""
    port = free_port()
    stack.enter_context(started(folder, embedded(), "--port", str(port)))
    answers(on(port))
    with redis.Redis(port=port) as admin:
        admin.execute_command("ACL", "SETUSER", "store", "on", f">{PASSWORD}", f"~{PROJECT}/*", *commands())
        admin.execute_command("ACL", "SETUSER", "default", "off")
    return f"redis://store:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0"


def tls(stack: ExitStack, folder: Path, certificates: Path) -> str:
    port = free_port()
    stack.enter_context(started(folder, system_or_skip(), *tls_options(certificates, port)))
    url = f"rediss://127.0.0.1:{port}/0?{trusting(certificates)}"
    answers(lambda: redis.Redis.from_url(url))
    return url


def clustered(stack: ExitStack, folder: Path, certificates: Path) -> str:
    ports = cluster(stack, folder, embedded(), on, lambda port: ["--port", str(port)])
    return f"redis+cluster://127.0.0.1:{ports[1]},127.0.0.1:{ports[0]}"


def tls_clustered(stack: ExitStack, folder: Path, certificates: Path) -> str:
    def client(port: int) -> Callable[[], Any]:
        return lambda: redis.Redis.from_url(f"rediss://127.0.0.1:{port}?{trusting(certificates)}")

    def options(port: int) -> list[str]:
        return [*tls_options(certificates, port), "--tls-cluster", "yes"]

    ports = cluster(stack, folder, system_or_skip(), client, options)
    return f"rediss+cluster://127.0.0.1:{ports[0]}?{trusting(certificates)}"


def cluster(stack: ExitStack, folder: Path, program: list[str], client: Any, options: Any) -> list[int]:
    """Three primaries that share the slots. Returns their ports."""
    ports = [free_port() for _ in range(3)]
    buses = [free_port() for _ in ports]
    for port, bus in zip(ports, buses, strict=True):
        stack.enter_context(
            started(folder / str(port), program, *options(port), "--cluster-enabled", "yes", "--cluster-port", str(bus))
        )
    edges = [0, 5000, 11000, 16384]
    for i, port in enumerate(ports):
        answers(client(port))
        with client(port)() as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", edges[i], edges[i + 1] - 1)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], buses[0])
    until = time.monotonic() + 20
    for port in ports:
        with client(port)() as node:
            while "cluster_state:ok" not in str(raw(node, "CLUSTER INFO")) or len(raw(node, "CLUSTER SLOTS")) != 3:
                assert time.monotonic() < until, raw(node, "CLUSTER INFO")
                time.sleep(0.05)
    return ports


def raw(node: Any, command: str) -> Any:
    return node.execute_command(*command.split())


def sentinels(stack: ExitStack, folder: Path, certificates: Path) -> str:
    return watched(stack, folder)[0]


def watched(stack: ExitStack, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    """A primary, its replica and the sentinel that watches them. Returns the URL, and the primary's process."""
    ports = [free_port() for _ in range(3)]
    primary = stack.enter_context(started(folder / "primary", embedded(), "--port", str(ports[0])))
    answers(on(ports[0]))
    stack.enter_context(
        started(folder / "replica", embedded(), "--port", str(ports[1]), "--replicaof", f"127.0.0.1 {ports[0]}")
    )
    answers(on(ports[1]))
    (folder / "sentinel").mkdir()
    configuration = folder / "sentinel" / "sentinel.conf"
    configuration.write_text(
        f"port {ports[2]}\nsentinel monitor shop 127.0.0.1 {ports[0]} 1\n"
        "sentinel down-after-milliseconds shop 300\nsentinel failover-timeout shop 2000\n"
    )
    stack.enter_context(started(folder / "sentinel", embedded(), str(configuration), "--sentinel"))
    answers(on(ports[2]))
    with redis.Redis(port=ports[2], decode_responses=True) as sentinel:
        until = time.monotonic() + 20
        while not any("slave" in str(raw(sentinel, "SENTINEL REPLICAS shop"))[:2000] for _ in (0,)):
            assert time.monotonic() < until
            time.sleep(0.05)
        while "ok" not in str(raw(sentinel, "SENTINEL REPLICAS shop")):
            assert time.monotonic() < until
            time.sleep(0.05)
    return f"redis+sentinel://127.0.0.1:{ports[2]}/shop/3", primary


KINDS = [socketed, plain_redis, user, tls, clustered, tls_clustered, sentinels]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Path
) -> Iterator[Settings]:
    with ExitStack() as stack:
        url = request.param(stack, tmp_path_factory.mktemp("servers"), certificates)
        yield Settings(home=tmp_path_factory.mktemp("home"), redis_url=url)


@pytest.fixture
def client(settings: Settings) -> Iterator[Any]:
    with redis_server.connect(settings) as connection:
        for keys in redis_server.scan(connection, f"{PROJECT}/*"):
            redis_server.unlink(connection, keys)
        yield connection


# --------------------------------------------------------------------------- the contract


def rows(values: list[float], event: int) -> list[bytes]:
    stamps = np.full(len(values), event, dtype=np.int64)
    packed = Values(np.array(values), np.ones(len(values), dtype=np.bool_))
    return encode(SCHEMA, {"x": packed}, stamps, stamps)


def writer(client: Any, settings: Settings) -> OnlineWriter:
    made = OnlineWriter(client, PROJECT, Tombstones(settings).of_entity)
    made.declare(SCHEMA, TARGET)
    return made


def test_what_is_written_is_read_newest_wins_and_the_erased_stay_away(client: Any, settings: Settings) -> None:
    store, reader = writer(client, settings), RowReader(client, PROJECT)
    new, old = rows([1.0] * 700, 2000), rows([2.0] * 700, 1000)
    assert store.write(TARGET, CUSTOMERS, new).written == 700
    assert store.write(TARGET, CUSTOMERS, old).written == 0
    assert list(reader.read([("v", [*CUSTOMERS, "nobody"])])[0]) == [*new, None]
    assert set(reader.schemas) == {SCHEMA.fingerprint}
    assert store.erase("c7", 1) == 1
    again = store.write(TARGET, CUSTOMERS, rows([3.0] * 700, 3000))
    assert (again.written, again.refused) == (699, 1)
    assert reader.read([("v", ["c7"])])[0][0] is None


def test_a_flip_shows_the_new_generation_at_once_to_sync_and_async_readers(client: Any, settings: Settings) -> None:
    store, reader = writer(client, settings), RowReader(client, PROJECT)
    store.write(TARGET, CUSTOMERS, rows([1.0] * 700, 1000))
    assert reader.read([("v", ["c1"])])[0][0] == rows([1.0], 1000)[0]
    shadow = Target("v", owned=True, generations=(1,))
    store.declare(SCHEMA, shadow)
    store.write(shadow, CUSTOMERS, rows([2.0] * 700, 1000))
    assert reader.read([("v", ["c1"])])[0][0] == rows([1.0], 1000)[0]
    live.switch(client, PROJECT, lambda now: msgspec.structs.replace(now, views={"v": 1}))
    assert reader.read([("v", ["c1"])])[0][0] == rows([2.0], 1000)[0]
    assert store.write(TARGET, ["c1"], rows([3.0], 2000)).written == 1

    async def read() -> Any:
        connection = redis_server.connect_async(settings)
        try:
            return await AsyncRowReader(connection, PROJECT).read([("v", ["c1", "c2", "nobody"])])
        finally:
            await connection.aclose()

    assert list(asyncio.run(read())[0]) == [rows([3.0], 2000)[0], rows([2.0], 1000)[0], None]


def test_every_key_of_a_project_is_found_and_removed_wherever_it_lies(client: Any, settings: Settings) -> None:
    writer(client, settings).write(TARGET, CUSTOMERS, rows([1.0] * 700, 1000))
    found = {key for keys in redis_server.scan(client, f"{PROJECT}/v/*") for key in keys}
    assert found == {row_key(PROJECT, "v", customer).encode() for customer in CUSTOMERS}
    assert redis_server.unlink(client, sorted(found)) == 700
    assert redis_server.unlink(client, sorted(found)) == 0
    assert not list(redis_server.scan(client, f"{PROJECT}/v/*"))


def test_a_server_that_answers_is_used_as_it_is(settings: Settings) -> None:
    with redis_server.running(settings) as bound:
        assert bound is settings


# --------------------------------------------------------------------------- each command, by user and on a cluster

# Each is given a connection, and one of somebody who may do everything.
SEVERAL = Target("b", owned=True, indexed=True)
WIDE = Schema("b", SCHEMA.columns)
PAIRS = [f"{customer}|i" for customer in CUSTOMERS]


def shadows(client: Any, settings: Settings, server: Any) -> None:
    """A new generation of two views, one of rows that expire: carried, compared, flipped to, rolled back, dropped."""
    store, soon = writer(client, settings), np.full(700, time.time_ns() // 1_000_000 + 10**8)
    store.declare(WIDE, SEVERAL)
    store.write(TARGET, CUSTOMERS, rows([1.0] * 700, 100))
    store.write(SEVERAL, PAIRS, rows([1.0] * 700, 100), soon)
    numbers = shadow.begin(client, PROJECT, [TARGET, SEVERAL])
    assert shadow.carry(client, PROJECT, TARGET, store, 0, -1) == 700
    assert shadow.carry(client, PROJECT, SEVERAL, store, 0, -1) == 700
    assert client.pttl(row_key(PROJECT, "b", PAIRS[0], numbers["b"])) > 10**7
    assert compare(client, PROJECT, "v", (0, numbers["v"]), lambda: 700, Thresholds()).refusals == ()
    shadow.flip(client, PROJECT, numbers)
    store.write(TARGET, CUSTOMERS[:9], rows([2.0] * 9, 200))
    assert shadow.rollback(client, PROJECT, [TARGET, SEVERAL], store, {"v": 100, "b": 100}) == {"v": 0, "b": 0}
    found = RowReader(client, PROJECT).read([("v", CUSTOMERS), ("b", PAIRS)])
    assert [len(row or b"") > 0 for part in found for row in part] == [True] * 1400
    assert list(found[0][:10]) == [*rows([2.0] * 9, 200), *rows([1.0], 100)]
    if isinstance(client, RedisCluster):
        # Readers of a cluster may still ask for what was read before the flip.
        assert shadow.drop_previous(client, PROJECT, [TARGET, SEVERAL]) == 0
        assert client.exists(row_key(PROJECT, "v", CUSTOMERS[0], numbers["v"])) == 1
        for view in ("v", "b"):
            client.delete(generations.flipped_key(PROJECT, view))
    assert shadow.drop_previous(client, PROJECT, [TARGET, SEVERAL]) == 1400
    shadow.begin(client, PROJECT, [TARGET])
    store.write(TARGET, CUSTOMERS, rows([3.0] * 700, 300))
    assert shadow.abandon(client, PROJECT, [TARGET]) == 700


def plans(client: Any, settings: Settings, server: Any) -> None:
    """Rows weighed, and looked for; the servers' memory."""
    writer(client, settings).write(TARGET, CUSTOMERS[:350], rows([1.0] * 350, 100))
    packed = Packed(CUSTOMERS, rows([1.0] * 700, 100), None)
    weighed = plan._weigh(client, PROJECT, "v", packed, indexed=True, evicts=False)
    assert weighed.seconds > 0 and weighed.row_bytes > 100
    assert plan._held(client, PROJECT, "v", 0, CUSTOMERS) == 0.5
    used, limit, policy = plan._memory(client)
    memory: Any = redis_server.servers(client)[0].info("memory")
    assert used > 0 and limit == memory["total_system_memory"]  # once, however many servers share it
    assert policy == "noeviction"
    assert not list(redis_server.scan(client, f"{PROJECT}/@plan/*"))


def measurements(client: Any, settings: Settings, server: Any) -> None:
    """What `status` says of a view, the store and the stream."""
    writer(client, settings).write(TARGET, CUSTOMERS, rows([1.0] * 700, 100))
    walks = freshness.walk(client, PROJECT)
    found = freshness.view(client, walks, PROJECT, "v", live.read(client, PROJECT), None, 1000)
    assert (found.rows, found.nulls, found.corrupt) == (700, 0.0, 0.0) and found.bytes > 700 * 50
    assert freshness.store(walks).keys >= 700
    assert freshness.coverage(client, PROJECT, "v", 0, ["c1", "nobody"]) == 0.5
    assert freshness.stream(client, PROJECT, 1) is None


def events(client: Any, settings: Settings, server: Any) -> None:
    """Appended, counted, landed, and the view made anew from what landed."""
    sent = [Event(event_id=f"{i}", customer_id=f"c{i % 7}") for i in range(50)]
    assert Appender(client, PROJECT).append_now(sent).accepted == 50
    assert consumer.run(settings, threading.Event(), once=True).counted == 50
    reader = RowReader(client, PROJECT)
    before = list(reader.read([("live", CUSTOMERS[:7])])[0])
    assert None not in before
    consumer.run(settings, threading.Event(), once=True, anew=True)
    assert list(reader.read([("live", CUSTOMERS[:7])])[0]) == before
    found = freshness.stream(client, PROJECT, 1)
    assert found is not None and found.waiting == 0


def erasures(client: Any, settings: Settings, server: Any) -> None:
    """A customer out of rows, mentions and events that wait; guards that were lost come back."""
    store, ledger = writer(client, settings), Tombstones(settings)
    store.declare(WIDE, SEVERAL)
    store.write(TARGET, CUSTOMERS, rows([1.0] * 700, 100))
    store.write(SEVERAL, PAIRS, rows([1.0] * 700, 100))
    Appender(server, PROJECT).append_now([Event(event_id=f"{i}", customer_id=f"c{i % 7}") for i in range(50)])
    places = erasing.erase(client, PROJECT, ["c5"], ledger, datetime.now(UTC))
    assert sum(place.rows for place in places) == 2
    assert erasing.find(client, PROJECT, ["c5"]) == []
    mentions.find(client, PROJECT, {"v": Mentions(lists={"y": ()})}, ["c5"])
    tombstones.restore(client, PROJECT, ledger)
    assert sum(place.rows for place in waiting.erase(client, PROJECT, ["c5"], [], ledger)) == 7
    assert client.xlen(f"{PROJECT}/@events") == 43
    assert erasing.forget_written(client) == []
    assert len(set(erasing.owners(client, PROJECT))) == 699


WAYS = {"--shadow": shadows, "`plan`": plans, "`status`": measurements, "/v1/events": events, "`erase`": erasures}


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with started(
        tmp_path_factory.mktemp("server"), embedded(), "--port", str(port := free_port()), "--appendonly", "yes"
    ):
        answers(on(port))
        yield port


@pytest.mark.parametrize("part", WAYS)
def test_a_user_with_the_rights_that_are_documented_for_a_command_can_run_it(
    part: str, open_server: int, tmp_path: Path
) -> None:
    with redis.Redis(port=open_server) as admin:
        admin.flushall()
        rights = ("reset", "on", f">{PASSWORD}", f"~{PROJECT}/*", *commands(part))
        admin.execute_command("ACL", "SETUSER", "store", *rights)
        url = f"redis://store:{quote(PASSWORD, safe='')}@127.0.0.1:{open_server}/0"
        settings = Settings(home=tmp_path, redis_url=url, project=PROJECT)
        with redis_server.connect(settings) as client:
            WAYS[part](client, settings, admin)


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[str]:
    with ExitStack() as stack:
        yield clustered(stack, tmp_path_factory.mktemp("nodes"), certificates)


@pytest.mark.parametrize("part", WAYS)
def test_every_command_does_on_a_cluster_what_it_does_on_a_server(part: str, three_nodes: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_url=three_nodes, project=PROJECT)
    with redis_server.connect(settings) as client:
        for keys in redis_server.scan(client, "*"):
            redis_server.unlink(client, keys)
        WAYS[part](client, settings, client)


# --------------------------------------------------------------------------- what each kind promises


def test_a_user_reaches_no_other_project(tmp_path: Path, certificates: Path) -> None:
    with ExitStack() as stack:
        url = user(stack, tmp_path, certificates)
        with (
            redis_server.connect(Settings(home=tmp_path, redis_url=url)) as client,
            pytest.raises(redis.exceptions.NoPermissionError),
        ):
            OnlineWriter(client, "other", Tombstones(Settings(home=tmp_path)).of_entity).declare(SCHEMA, TARGET)
        wrong = Settings(home=tmp_path, redis_url=url.replace("store:", "store:secret"))
        with pytest.raises(StoreError, match=r"127\.0\.0\.1") as caught, redis_server.running(wrong):
            pass
        assert "secret" not in str(caught.value)
        assert quote(PASSWORD, safe="") not in str(caught.value)


def test_tls_trusts_nobody_without_the_authority(tmp_path: Path, certificates: Path) -> None:
    with ExitStack() as stack:
        url = tls(stack, tmp_path, certificates)
        for wrong in (url.partition("?")[0], f"{url.partition('?')[0]}?{trusting(certificates, 'stranger')}"):
            settings = Settings(home=tmp_path, redis_url=wrong)
            with pytest.raises(StoreError, match="does not answer"), redis_server.running(settings):
                pass


def test_a_client_goes_on_when_the_sentinels_choose_a_new_primary(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url, primary = watched(stack, tmp_path / "servers")
        settings = Settings(home=tmp_path / "home", redis_url=url)
        with redis_server.connect(settings) as client:
            store, reader = writer(client, settings), RowReader(client, PROJECT)
            store.write(TARGET, CUSTOMERS, rows([1.0] * 700, 1000))
            assert client.wait(1, 5000) == 1
            primary.send_signal(signal.SIGKILL)
            primary.wait()
            assert store.write(TARGET, CUSTOMERS[:300], rows([2.0] * 300, 2000)).written == 300
            found = reader.read([("v", CUSTOMERS)])[0]
            assert list(found) == [*rows([2.0] * 300, 2000), *rows([1.0] * 400, 1000)]


def test_a_cluster_that_goes_away_is_an_error_that_callers_look_for(tmp_path: Path, certificates: Path) -> None:
    once = {"socket_timeout": 1, "retry": redis.retry.Retry(redis.backoff.NoBackoff(), 0)}
    with ExitStack() as stack:
        settings = Settings(home=tmp_path / "home", redis_url=clustered(stack, tmp_path / "servers", certificates))
        client = stack.enter_context(redis_server.connect(settings, **once))
        assert client.get("a") is None
        stack.pop_all().close()
        for _ in range(3):  # first a node is gone, then all are
            with pytest.raises(redis.RedisError):
                client.get("a")

    async def ask() -> None:
        connection = redis_server.connect_async(settings, socket_timeout=1)
        try:
            await connection.get("a")
        finally:
            await connection.aclose()

    with pytest.raises(redis.ConnectionError):
        asyncio.run(ask())


def test_a_cluster_or_sentinels_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    for url in (
        f"redis+cluster://u:secret@127.0.0.1:{free_port()}",
        f"redis+sentinel://:secret@127.0.0.1:{free_port()}/m",
    ):
        with (
            pytest.raises(StoreError, match="does not answer") as caught,
            redis_server.running(Settings(home=tmp_path, redis_url=url)),
        ):
            pass
        assert "secret" not in str(caught.value)
