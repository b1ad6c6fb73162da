"""Sealed files: read back equal, and refused when a byte is not what it was."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from motherlode.backup.seal import SALT, SEGMENT, Seal
from motherlode.errors import StoreError

SEAL = Seal("a key of backups that is long enough", bytes(SALT))


def sealed(content: bytes) -> bytes:
    file = io.BytesIO()
    SEAL.write([content[at : at + SEGMENT] for at in range(0, len(content), SEGMENT)], file)
    return file.getvalue()


def opened(path: Path, content: bytes, seal: Seal = SEAL) -> bytes:
    path.write_bytes(content)
    return b"".join(seal.read(path))


@pytest.mark.parametrize("size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
def test_any_size_is_read_back_equal(tmp_path: Path, size: int) -> None:
    content = bytes(range(251)) * (size // 251) + bytes(size % 251)
    assert opened(tmp_path / "x", sealed(content)) == content


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(tmp_path: Path, content: bytes, at: int, bit: int) -> None:
    found = bytearray(sealed(content))
    found[at % len(found)] ^= 1 << bit
    with pytest.raises(StoreError, match="was changed or cut short"):
        opened(tmp_path / "x", bytes(found))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    found = sealed(b"x" * (2 * SEGMENT + 100))
    whole_segments = [36, 36 + SEGMENT + 16, 36 + 2 * (SEGMENT + 16)]
    for end in [0, 3, 35, *whole_segments, len(found) - 1]:
        with pytest.raises(StoreError, match="was changed or cut short"):
            opened(tmp_path / "x", found[:end])


def test_segments_that_changed_places_are_refused(tmp_path: Path) -> None:
    found, step = sealed(b"a" * SEGMENT + b"b" * SEGMENT + b"c"), SEGMENT + 16
    swapped = found[:36] + found[36 + step : 36 + 2 * step] + found[36 : 36 + step] + found[36 + 2 * step :]
    with pytest.raises(StoreError, match="was changed or cut short"):
        opened(tmp_path / "x", swapped)


def test_another_key_opens_nothing_and_the_same_content_is_never_sealed_alike(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="was changed or cut short"):
        opened(tmp_path / "x", sealed(b"content"), Seal("another key of backups, as long", bytes(SALT)))
    assert sealed(b"content")[36:] != sealed(b"content")[36:]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gone cannot be read"):
        list(SEAL.read(tmp_path / "gone"))
