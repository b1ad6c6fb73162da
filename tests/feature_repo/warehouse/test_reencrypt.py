"""Raw under another key: every row is there after, no file needs the old key, and a killed job goes on."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo.warehouse import reencrypt, state, vault
from feature_repo.warehouse.state import Landed, Part, State
from motherlode import audit
from motherlode.bundle import sha256
from motherlode.errors import DataError
from motherlode.settings import Settings

OLD, NEW = "the old key of all of raw", "the new key of all of raw"
FILES = ("raw/tills/1.parquet", "raw/tills/2.parquet", "raw/crm of/3.parquet")
IDENTITIES = "raw/identities/ids.0.parquet"
AT = datetime(2026, 1, 1, tzinfo=UTC)


def rows(number: int) -> pa.Table:
    return pa.table({"e-mail": [f"anna{number}@example.com"] * 10, "n": pa.array(range(10), pa.uint8())})


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    """A raw layer under the old key, but for one plain file."""
    settings = Settings(home=tmp_path, raw_key=OLD)
    landed, plain = [], replace(settings, raw_key=None)
    for number, path in enumerate((*FILES, IDENTITIES)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        with vault.writer(tmp_path / path, rows(number).schema, plain if number == 1 else settings) as writer:
            writer.write_table(rows(number))
    for number, path in enumerate(FILES):
        digest = sha256(tmp_path / path)
        landed.append(
            Landed(
                source="s", name=path, file_id="f", path=path, sha256="s", sha256_raw=digest, size=1, landed_at=AT,
                order=number + 1,
            )
        )  # fmt: skip
    refused = Landed(
        source="s", name="x", file_id="x", path="", sha256="x", size=1, landed_at=AT, order=9, status="refused"
    )
    part = Part(path=IDENTITIES, rows=10, sha256=sha256(tmp_path / IDENTITIES))
    state.write(settings, State(raw=(*landed, refused), identities=(part,)))
    return settings


def test_every_file_is_under_the_new_key_and_whole(old: Settings) -> None:
    before = state.read(old)
    done: list[str] = []
    assert reencrypt.reencrypt(replace(old, raw_key=NEW, previous_raw_key=OLD), done.append) == 4
    assert sorted(done) == sorted((*FILES, IDENTITIES))
    new = replace(old, raw_key=NEW)
    for number, path in enumerate((*FILES, IDENTITIES)):
        assert vault.key_id_of(old.home / path) == vault.key_id(NEW)
        assert vault.reader(old.home / path, new).read().equals(rows(number))
        with pytest.raises(DataError, match="is encrypted by the key"):
            vault.reader(old.home / path, old)
    after = state.read(new)
    assert [each.sha256_raw for each in after.raw] == [*(sha256(old.home / path) for path in FILES), ""]
    assert after.identities[0].sha256 == sha256(old.home / IDENTITIES)
    told = {entry.subject: entry.details for entry in audit.read(new)}
    for was, now in zip(before.raw[:3], after.raw[:3], strict=True):
        assert (told[was.path]["sha256_before"], told[was.path]["sha256"]) == (was.sha256_raw, now.sha256_raw)
    assert sorted(path.name for path in old.home.rglob("*.parquet")) == [
        "1.parquet", "2.parquet", "3.parquet", "ids.0.parquet",
    ]  # fmt: skip


def test_what_is_under_the_key_already_is_left_alone(old: Settings) -> None:
    new = replace(old, raw_key=NEW, previous_raw_key=OLD)
    reencrypt.reencrypt(new)
    stamps = [(old.home / path).stat().st_mtime_ns for path in FILES]
    known = (old.home / state.STATE).read_bytes()
    assert reencrypt.reencrypt(replace(old, raw_key=NEW)) == 0
    assert [(old.home / path).stat().st_mtime_ns for path in FILES] == stamps
    assert (old.home / state.STATE).read_bytes() == known
    assert audit.verify(new) == 4


def test_a_job_that_ended_in_the_middle_goes_on(old: Settings) -> None:
    new = replace(old, raw_key=NEW, previous_raw_key=OLD)

    def stop(path: str) -> None:
        if path == FILES[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reencrypt.reencrypt(new, stop)
    for number, path in enumerate(FILES):
        assert vault.reader(old.home / path, new).read().equals(rows(number)), "both keys: all can be read"
    assert reencrypt.reencrypt(new) < 4
    assert {vault.key_id_of(old.home / path) for path in FILES} == {vault.key_id(NEW)}
    assert state.read(new).raw[0].sha256_raw == sha256(old.home / FILES[0])


def test_without_the_old_key_nothing_is_lost(old: Settings) -> None:
    contents = [(old.home / path).read_bytes() for path in FILES]
    with pytest.raises(DataError, match="is encrypted by the key"):
        reencrypt.reencrypt(replace(old, raw_key=NEW))
    assert [contents[0], contents[2]] == [(old.home / FILES[0]).read_bytes(), (old.home / FILES[2]).read_bytes()]
    with pytest.raises(DataError, match="no raw key to encrypt by"):
        reencrypt.reencrypt(replace(old, raw_key=None))


def test_a_damaged_file_is_named_and_stays(old: Settings) -> None:
    path = old.home / FILES[0]
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1\.parquet cannot be read"):
        reencrypt.reencrypt(replace(old, raw_key=NEW, previous_raw_key=OLD))
    assert path.read_bytes() == bytes(content)
