"""Ports name their holder; what a killed server left behind is found and ended, and nobody else is."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from motherlode.errors import PortInUseError, SettingsError
from motherlode.settings import Settings
from serving.processes import (
    TEMP_PREFIX,
    Record,
    end_orphans,
    end_session,
    free_port,
    record_path,
    remove_temp,
    require_free_port,
)

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_free_port_is_free() -> None:
    require_free_port("127.0.0.1", free_port())


@pytest.mark.parametrize("theirs", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_names_its_holder(theirs: str) -> None:
    code = f"import socket, time; s = socket.create_server(({theirs!r}, 0)); print(s.getsockname()[1]); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        with pytest.raises(PortInUseError) as caught:
            require_free_port("127.0.0.1", port)
        assert f"process {holder.pid}" in caught.value.problem
        assert "socket.create_server" in caught.value.problem
        assert "--port" in caught.value.remedy
    finally:
        holder.kill()
        holder.communicate()


def test_a_port_shared_by_others_is_busy_too() -> None:
    """HAProxy sets SO_REUSEPORT: without a look, two of them would share a port and each get half the calls."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(PortInUseError, match=f"process {os.getpid()}"):
            require_free_port("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_a_host_that_is_not_here_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=host):
        require_free_port(host, free_port())


def start_session(children: int = 1) -> subprocess.Popen[bytes]:
    """A session's leader with children of its own."""
    code = (
        "import subprocess, sys, time; "
        f"[subprocess.Popen({SLEEP!r}) for _ in range({children})]; "
        "print('up', flush=True); time.sleep(60)"
    )
    leader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    leader.stdout.readline()
    return leader


def members(session: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def dead_record(leader: int, temp: Path) -> Record:
    """The record of a server whose supervisor is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return msgspec.structs.replace(Record.of(leader, temp), supervisor=gone.pid, supervisor_started=1.0)


def test_the_orphans_of_a_killed_server_are_ended_with_its_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a home")
    temp = tmp_path / f"{TEMP_PREFIX}x"
    temp.mkdir()
    leader = start_session(2)
    bystander = subprocess.Popen(SLEEP, start_new_session=True)
    try:
        dead_record(leader.pid, temp).write(record_path(settings))
        leader.kill()  # the leader dies, its children live on
        leader.wait()
        assert len(members(leader.pid)) == 2
        ended = end_orphans(settings)
        assert len(ended) == 2
        assert members(leader.pid) == []
        assert not temp.exists()
        assert not record_path(settings).exists()
        assert bystander.poll() is None
        assert end_orphans(settings) == []
    finally:
        bystander.kill()
        bystander.wait()
        end_session(leader.pid, 0)


def test_a_server_that_lives_is_left_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    leader = start_session()
    try:
        Record.of(leader.pid, tmp_path / f"{TEMP_PREFIX}x").write(record_path(settings))
        assert end_orphans(settings) == []
        assert leader.poll() is None
        assert record_path(settings).exists()
    finally:
        assert leader.pid in end_session(leader.pid, psutil.Process(leader.pid).create_time())
        leader.wait()


def test_a_process_with_a_reused_id_is_not_touched(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    leader = start_session()
    try:
        later = dead_record(leader.pid, tmp_path)
        msgspec.structs.replace(later, started=time.time() + 3600).write(record_path(settings))
        assert end_orphans(settings) == []
        before = msgspec.structs.replace(later, boot=later.boot - 86_400)
        before.write(record_path(settings))
        assert end_orphans(settings) == [], "another boot's ids mean nothing"
        assert leader.poll() is None
    finally:
        end_session(leader.pid, 0)
        leader.wait()


def test_a_record_that_cannot_be_read_is_dropped(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    record_path(settings).parent.mkdir(parents=True)
    record_path(settings).write_bytes(b"{")
    assert end_orphans(settings) == []
    assert not record_path(settings).exists()


def test_only_a_servers_own_folder_is_deleted(tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    remove_temp(other)
    assert other.exists()
