"""The embedded Valkey: started on demand, shared, stopped by the last, its data kept."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from motherlode.errors import StoreError
from motherlode.redis_server import connect, connect_async, ensure, running, socket_path
from motherlode.redis_url import parse, shown
from motherlode.settings import Settings


def server_pid(settings: Settings) -> int:
    with connect(settings) as client:
        return int(client.info("server")["process_id"])


def has_ended(pid: int) -> bool:
    """Whether a process ended. An orphan stays in the table until the system's first process looks after it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_the_last_user_stops_it_and_the_data_stays(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "with a space")
    with running(settings) as outer:
        with running(settings) as inner:
            connect(inner).set("a", "1")
            pid = server_pid(inner)
        assert server_pid(outer) == pid, "the inner block does not stop what the outer one uses"
    assert has_ended(pid)
    assert not socket_path(settings).exists()
    with running(settings) as again:
        assert connect(again).get("a") == b"1"


def test_a_server_is_used_only_once_its_data_is_loaded(tmp_path: Path) -> None:
    """An append-only file of this size takes longer to load than a first command takes to arrive."""
    settings = Settings(home=tmp_path)
    with running(settings) as bound, connect(bound) as client:
        for start in range(0, 60_000, 10_000):
            client.mset({f"key {i}": bytes(500) for i in range(start, start + 10_000)})
    with running(settings) as bound, connect(bound) as client:
        assert client.dbsize() == 60_000


def test_a_server_that_outlived_its_killed_starter_is_used_and_then_stopped(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from motherlode.redis_server import ensure;"
        "from motherlode.settings import Settings;"
        "ensure(Settings(home=Path(sys.argv[1]))); print('up', flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    assert starter.stdout.readline() == b"up\n"
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    with running(Settings(home=tmp_path)) as bound:
        pid = server_pid(bound)
    assert has_ended(pid)


def test_a_home_too_long_for_a_socket_still_works(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("long" * 30))
    assert len(os.fsencode(socket_path(settings))) <= 100
    with running(settings) as bound:
        assert connect(bound).ping()


def test_a_redis_that_does_not_answer_is_an_error_without_its_password(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_url="redis://user:secret@127.0.0.1:1/0")
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1") as caught, running(settings):
        pass
    assert "secret" not in str(caught.value)
    assert "REDIS_URL" in caught.value.remedy


def test_a_named_redis_is_never_started_or_stopped(server: Settings, tmp_path: Path) -> None:
    with running(Settings(home=tmp_path, redis_url=server.redis_url)) as bound:
        assert connect(bound).ping()
    assert ensure(server) == server.redis_url
    assert connect(server).ping()
    assert not (tmp_path / "valkey").exists()


def test_unbound_settings_connect_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No Redis is running"):
        connect(Settings(home=tmp_path))


def test_a_broken_data_folder_is_an_error_that_names_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(StoreError, match="does not start") as caught, running(Settings(home=tmp_path)):
        pass
    assert "valkey.log" in caught.value.remedy
    with pytest.raises(redis.ConnectionError):
        redis.Redis(unix_socket_path=str(socket_path(Settings(home=tmp_path)))).ping()


@pytest.mark.parametrize(
    ("url", "shows"),
    [
        ("redis://user:secret@host:1/2", "redis://host:1/2"),
        ("redis+cluster://user:sec%40ret@a:1,b:2?ssl_certfile=/secret", "redis+cluster://a:1,b:2"),
        ("redis://user:sec?ret@host", "redis://…"),
        ("redis://host?password=sec@ret", "redis://…"),
        ("user:secret@host", "host"),
        ("localhost:6379", "localhost:6379"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url: str, shows: str) -> None:
    assert shown(url) == shows


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host",
        "redis://user:secret/more@host:1",
        "redis://user:secret@host:99999",
        "redis+cluster://user:secret@host:port",
        "redis+cluster://user:secret@host:1/3",
        "redis+sentinel://user:secret@host:1",
        "redis://user:secret@host?db=secret",
    ],
)
def test_a_url_that_cannot_be_read_is_an_error_without_its_password(url: str, tmp_path: Path) -> None:
    for opened in (connect, connect_async):
        with pytest.raises(StoreError, match="Redis URL") as caught:
            opened(Settings(home=tmp_path, redis_url=url))
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_url_says_who_is_asked_for_what() -> None:
    cluster = parse("rediss+cluster://u:p%40@[::1]:3,h?ssl_ca_certs=/ca.pem")
    assert (cluster.kind, cluster.nodes) == ("cluster", (("::1", 3), ("h", 6379)))
    assert cluster.options == {"username": "u", "password": "p@", "ssl_ca_certs": "/ca.pem", "ssl": True}
    known = parse("redis+sentinel://:p@h1,h2:2/shop/3?sentinel_password=q&socket_timeout=0.5")
    assert (known.kind, known.primary, known.nodes) == ("sentinel", "shop", (("h1", 26379), ("h2", 2)))
    assert known.options == {"password": "p", "db": 3, "socket_timeout": 0.5}
    assert known.sentinels == {"password": "q", "socket_timeout": 0.5}
    assert "p@" not in repr(cluster)
