"""The audit log: whatever is done to it is noticed; whatever kills a writer, nothing is lost and nothing in doubt."""

import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from motherlode import audit, chain
from motherlode.errors import DataError
from motherlode.settings import Settings

KEY = "a secret of sixteen bytes"


def logged(home: Path, count: int = 5, key: str | None = None) -> Settings:
    settings = Settings(home=home, pseudonym_key=key)
    for number in range(count):
        audit.record(settings, "load", f"number {number}", rows=number, mapping="f00")
    return settings


def lines(settings: Settings) -> list[bytes]:
    return (settings.home / audit.LOG).read_bytes().splitlines(keepends=True)


def put(settings: Settings, *content: bytes) -> None:
    (settings.home / audit.LOG).write_bytes(b"".join(content))


def test_what_was_recorded_is_read_again(tmp_path: Path) -> None:
    settings = replace(logged(tmp_path), actor="night job")
    audit.record(settings, "publish", "20260101T000000Z", collected=2)
    assert audit.verify(settings) == 6
    last = audit.read(settings)[-1]
    assert (last.seq, last.action, last.subject, last.details) == (6, "publish", "20260101T000000Z", {"collected": 2})
    assert last.actor.startswith("night job (")
    assert audit.verify(Settings(home=tmp_path / "nothing yet")) == 0


@pytest.mark.parametrize("key", [None, KEY])
@tuned(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0), bit=st.integers(0, 7))
def test_every_changed_byte_is_noticed(tmp_path: Path, key: str | None, at: int, bit: int) -> None:
    settings = Settings(home=tmp_path, pseudonym_key=key)
    if not (tmp_path / audit.LOG).exists():
        logged(tmp_path, key=key)
    paths = (tmp_path / audit.LOG, tmp_path / audit.HEAD)
    contents = [path.read_bytes() for path in paths]
    at %= sum(map(len, contents))
    which = int(at >= len(contents[0]))
    content, at = contents[which], at - which * len(contents[0])
    try:
        paths[which].write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        with pytest.raises(DataError, match=r"[Ee]ntry \d|was changed|not written by a holder"):
            audit.verify(settings)
    finally:
        paths[which].write_bytes(content)
    assert audit.verify(settings) == 5


@tuned(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 4), max_size=7).filter(lambda order: order != [0, 1, 2, 3, 4]))
def test_every_removal_repetition_and_reordering_is_noticed_and_the_first_one_named(
    tmp_path: Path, order: list[int]
) -> None:
    settings = Settings(home=tmp_path)
    if not (tmp_path / audit.LOG).exists():
        logged(tmp_path)
    whole = lines(settings)
    broken = next((i for i, at in enumerate(order) if i != at), len(order))
    try:
        put(settings, *(whole[i] for i in order))
        with pytest.raises(DataError, match=rf"[Ee]ntry {broken + 1} ") as caught:
            audit.verify(settings)
        assert caught.value.remedy
    finally:
        put(settings, *whole)


def test_an_entry_that_was_changed_along_with_its_hash_breaks_the_chain(tmp_path: Path) -> None:
    settings = logged(tmp_path)
    whole = lines(settings)
    entry = msgspec.structs.replace(msgspec.json.decode(whole[2], type=chain.Entry), subject="nothing at all")
    forged = msgspec.structs.replace(entry, hash=entry.digest())
    put(settings, *whole[:2], msgspec.json.encode(forged, order="sorted") + b"\n", *whole[3:])
    with pytest.raises(DataError, match=r"Entry 4 .* does not follow on the one before"):
        audit.verify(settings)


def test_without_the_key_the_log_cannot_be_written_anew(tmp_path: Path) -> None:
    settings = logged(tmp_path / "home", key=KEY)
    forged = logged(tmp_path / "forged", 3)
    for name in (audit.LOG, audit.HEAD):
        (settings.home / name).write_bytes((forged.home / name).read_bytes())
    with pytest.raises(DataError, match="not written by a holder of the pseudonym key"):
        audit.verify(settings)
    with pytest.raises(DataError, match="not written by a holder of the pseudonym key"):
        audit.record(settings, "load", "more")


def test_a_key_that_comes_or_is_replaced_vouches_from_the_next_entry_on(tmp_path: Path) -> None:
    logged(tmp_path, 2)
    new = Settings(home=tmp_path, pseudonym_key=KEY)
    with pytest.raises(DataError, match="not written by a holder") as caught:
        audit.verify(new)
    assert '"none"' in caught.value.remedy
    audit.record(replace(new, previous_pseudonym_keys=("none",)), "rekey", "keys")
    assert audit.verify(new) == 3
    newer = Settings(home=tmp_path, pseudonym_key="another secret of mine")
    with pytest.raises(DataError):
        audit.record(newer, "load", "x")
    audit.record(replace(newer, previous_pseudonym_keys=(KEY,)), "rekey", "keys")
    assert audit.verify(newer) == 4
    with pytest.raises(DataError, match="there is none here"):
        audit.record(Settings(home=tmp_path), "load", "x")


def test_a_log_without_its_head_and_a_head_without_its_log_are_noticed(tmp_path: Path) -> None:
    settings = logged(tmp_path)
    (tmp_path / audit.HEAD).rename(tmp_path / "aside")
    with pytest.raises(DataError, match="is missing"):
        audit.verify(settings)
    with pytest.raises(DataError, match="is missing"):
        audit.record(settings, "load", "x")
    (tmp_path / "aside").rename(tmp_path / audit.HEAD)
    (tmp_path / audit.LOG).unlink()
    with pytest.raises(DataError, match="knows 5 entries"):
        audit.verify(settings)


def test_an_append_refuses_an_end_that_was_changed_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    settings = logged(tmp_path)
    whole = lines(settings)
    for tampered in (whole[:4], [*whole, whole[4]], [*whole[:4], whole[4].replace(b"number 4", b"number 5")]):
        put(settings, *tampered)
        with pytest.raises(DataError):
            audit.check(settings)
        with pytest.raises(DataError):
            audit.record(settings, "load", "more")
        assert lines(settings) == tampered


def test_a_check_says_beforehand_whether_an_entry_can_be_made(tmp_path: Path) -> None:
    nothing = Settings(home=tmp_path / "nothing yet")
    audit.check(nothing)
    assert not nothing.home.exists()
    settings = logged(tmp_path, key=KEY)
    audit.check(settings)
    assert audit.verify(settings) == 5
    with pytest.raises(DataError, match="there is none here"):
        audit.check(replace(settings, pseudonym_key=None))


def test_a_write_cut_short_at_any_byte_is_finished_by_the_next_append(tmp_path: Path) -> None:
    settings = logged(tmp_path, 2, key=KEY)
    before, head = lines(settings), (tmp_path / audit.HEAD).read_bytes()
    heads = []
    write, audit_head = chain._write_head, tmp_path / audit.HEAD

    def watched(given: chain.Chain, which: chain.Head) -> chain.Head:
        done = write(given, which)
        heads.append(audit_head.read_bytes())
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "_write_head", watched)
        audit.record(settings, "load", "the third")
    assert heads[0] != head
    third = lines(settings)[2]
    for cut in range(len(third) + 1):
        put(settings, *before, third[:cut])
        audit_head.write_bytes(heads[0])
        assert audit.verify(settings) == 2 + (cut == len(third))
        audit.record(settings, "load", "the fourth")
        assert [entry.subject for entry in audit.read(settings)][2:] == ["the third", "the fourth"]
    put(settings, *before, third[:-5] + b"xxxxx")
    audit_head.write_bytes(heads[0])
    with pytest.raises(DataError, match="Entry 3"):
        audit.verify(settings)
    with pytest.raises(DataError, match="its end was changed"):
        audit.record(settings, "load", "x")


@pytest.mark.parametrize("room", [0, 50])
def test_on_a_full_disk_the_log_stays_whole_and_the_entry_is_made_later(tmp_path: Path, room: int) -> None:
    settings = logged(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(b"".join(lines(settings))) + room, hard))
    try:
        with pytest.raises(DataError, match=r"audit\.jsonl cannot be written") as caught:
            audit.record(settings, "load", "no room for it")
        assert "Make room" in caught.value.remedy
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert audit.verify(settings) == 5
    audit.record(settings, "load", "again")
    assert [entry.subject for entry in audit.read(settings)][5:] == ["no room for it", "again"]


_WRITER = """
import sys
from pathlib import Path
from motherlode import audit, chain
from motherlode.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    audit.record(settings, "load", f"{sys.argv[3]} {number}")
    print(number, flush=True)
"""


def test_writers_side_by_side_lose_no_entry(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), "20", name], stdout=subprocess.DEVNULL)
        for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    entries = audit.read(Settings(home=tmp_path))
    assert len(entries) == 60
    for name in "abc":
        assert [e.subject for e in entries if e.subject[0] == name] == [f"{name} {number}" for number in range(20)]


def test_a_writer_killed_at_any_moment_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    done = 0
    for after in range(1, 6):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), "100000", "w"], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            for _ in range(after * 7):
                done += bool(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
        assert audit.verify(Settings(home=tmp_path)) >= done
        audit.record(Settings(home=tmp_path), "status", "still here")
        done += 1
    assert audit.verify(Settings(home=tmp_path)) >= done


def test_identifiers_do_not_enter_the_log(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, pseudonym_key=KEY)
    known = settings.identity.join_key(4711)
    audit.record(settings, "erase", "asked by anna@example.com", customer_id=known, email="x", visitor_id=12)
    audit.record(settings, "load", "sql://user:hunter2@db/table", customer_id=f"{known},{known}")
    content = (tmp_path / audit.LOG).read_text()
    assert "anna" not in content
    assert "hunter2" not in content
    first, second = audit.read(settings)
    assert first.details == {"customer_id": known, "email": audit.HIDDEN, "visitor_id": audit.HIDDEN}
    assert second.subject == f"sql://user:{audit.HIDDEN}/table"
    assert second.details["customer_id"] == f"{known},{known}"


def test_a_name_that_is_no_text_is_recorded_all_the_same(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    audit.record(settings, "load", os.fsdecode(b"caf\xe9.csv"))
    assert audit.verify(settings) == 1
