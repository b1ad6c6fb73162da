"""A file's bytes: unpacked by the name's ending, hashed as they lie there, refused where damaged."""

import bz2
import gzip
import hashlib
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feature_repo.warehouse.sources.content import Content
from motherlode.errors import DataError

_TEXT = b"a,b\n" + b"1,2\n" * 50_000


def _zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


_PACK: dict[str, Any] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": _zstd}


@pytest.mark.parametrize("ending", ["", *_PACK])
@pytest.mark.parametrize("parts", [1, 2])
def test_what_is_packed_is_unpacked_also_in_several_parts(tmp_path: Path, ending: str, parts: int) -> None:
    packed = _PACK.get(ending, bytes)(_TEXT) * parts
    (tmp_path / "file").write_bytes(packed)
    content = Content(tmp_path / "file", f"a.CSV{ending.upper()}")
    assert b"".join(content.chunks(1_000)) == _TEXT * parts
    assert content.sha256 == hashlib.sha256(packed).hexdigest()
    assert content.size == len(packed)


@pytest.mark.parametrize("ending", list(_PACK))
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_what_is_damaged_is_named_with_the_remedy(tmp_path: Path, ending: str, damage: str) -> None:
    packed = _PACK[ending](_TEXT)
    (tmp_path / "file").write_bytes(packed[:-9] if damage == "cut" else b"something else")
    with pytest.raises(DataError, match=f"a.csv{ending} cannot be unpacked.*export it again"):
        list(Content(tmp_path / "file", f"a.csv{ending}").chunks())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.csv cannot be read: No such file"):
        list(Content(tmp_path / "none", "a.csv").chunks())
