"""A file's bytes: hashed as they are read, and unpacked where the name says that they are packed."""

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import pyarrow as pa

from motherlode.errors import DataError

CHUNK: Final = 8 << 20
"""Bytes read at once."""

_UNPACK: Final[dict[str, Callable[[Any], Any]]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"),
}
PACKED: Final = frozenset(_UNPACK)
"""Endings of compressed files."""


class Content:
    """A local file that is read from its start to its end, perhaps more than once.

    Attributes:
        sha256: of the bytes as they lie there, of the last pass; known once that pass is through.
        size: bytes of the last pass.
    """

    def __init__(self, path: Path, name: str) -> None:
        """
        Args:
            path: where it lies.
            name: as the mapping's folder sees it; its ending says whether it is compressed.
        """
        self.path, self.name = path, name
        self.sha256, self.size = "", 0

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The unpacked bytes; at the end `sha256` and `size` hold for all of the file.

        Raises:
            DataError: the file is compressed and damaged.
        """
        with self._open() as (file, hashed):
            while chunk := self._unpacked(file, size):
                yield chunk
            while hashed.read(CHUNK):
                pass
            self.sha256, self.size = hashed.digest.hexdigest(), hashed.size

    @contextmanager
    def _open(self) -> Iterator[tuple[IO[bytes], "_Hashed"]]:
        try:
            plain = self.path.open("rb", buffering=0)
        except OSError as error:
            raise unreadable(self.name, error) from error
        with plain:
            hashed = _Hashed(plain)
            unpack = _UNPACK.get(PurePosixPath(self.name.lower()).suffix)
            yield unpack(hashed) if unpack else cast(IO[bytes], hashed), hashed

    def _unpacked(self, file: IO[bytes], size: int) -> bytes:
        try:
            return file.read(size)
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise (self._damaged(error) if error.errno is None else unreadable(self.name, error)) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.name} cannot be unpacked: {error}.", "It was cut short or changed: export it again.")


class MissingError(DataError):
    """Nothing is there by the name or the glob that a source says."""


def unreadable(name: str, error: OSError) -> DataError:
    """A file that the operating system does not give."""
    return DataError(f"{name} cannot be read: {error.strerror or error}.", "Check that it is there and may be read.")


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed on their way."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer) or 0
        self.digest.update(memoryview(buffer)[:count])
        self.size += count
        return count
