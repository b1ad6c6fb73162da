"""Sealed files: what lies in a backup folder can be read, and can be changed unnoticed, by nobody without the key.

    offset  bytes  field
    0       4      b"MLS1"
    4       32     a salt, random for each file
    36      …      segments: 1 MiB each but for the last, every one followed by its tag of 16 bytes

The key of a file is HKDF-SHA256 of the folder's key and the file's salt, so that no key is used twice and a segment's
number can be its nonce. The nonce's last byte is 1 for the last segment alone: a file cut short at a segment's end,
or with segments swapped, is refused (the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015, section 7). The folder's key is scrypt
of `MOTHERLODE_BACKUP_KEY` and the folder's salt.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from motherlode.errors import StoreError

SALT: Final = 32
"""Bytes."""
SEGMENT: Final = 1 << 20
"""Bytes of content that are sealed together, and held in memory at a time."""
_MAGIC: Final = b"MLS1"
_TAG: Final = 16
_KEY: Final = 32
_COUNTER: Final = 11
_SCRYPT_N: Final = 1 << 15
_SCRYPT_R: Final = 8
"""32 MiB and about 0.1 s: a passphrase is as hard to guess as scrypt's paper advises for log-ins."""
_OTHER_COPY: Final = (
    "Restore it from a copy of the folder; `motherlode backup FOLDER --full` stores anew what home has."
)


class Seal:
    """Seals and opens what lies in one backup folder.

    Args:
        secret: `MOTHERLODE_BACKUP_KEY`.
        salt: the folder's, 32 bytes.

    Attributes:
        telling: the key that vouches for the folder's tombstones, 32 bytes. A home keeps it, so that an erasure can
            tell the folder without the key of backups; it opens nothing.
    """

    def __init__(self, secret: str, salt: bytes) -> None:
        master = _master(secret, salt)
        self._content = _derived(master, b"content")
        self._names = _derived(master, b"names")
        self._vouching = _derived(master, b"vouching")
        self.telling = _derived(master, b"tombstones")

    def name(self, sha256: str) -> str:
        """What the object with this content is called: 64 hex digits that tell nothing of it."""
        return hmac.digest(self._names, sha256.encode(), "sha256").hex()

    def mac(self, content: bytes) -> str:
        """Vouches for a small file that lies in the clear, 64 hex digits."""
        return hmac.digest(self._vouching, content, "sha256").hex()

    def write(self, parts: Iterable[bytes], file: BinaryIO) -> None:
        """Seal content into an open file.

        Args:
            parts: the content; every part but the last has `SEGMENT` bytes.
            file: to write to.
        """
        salt = os.urandom(SALT)
        cipher = AESGCM(_derived(self._content, salt))
        file.write(_MAGIC + salt)
        before, number = None, 0
        for part in parts:
            if before is not None:
                file.write(cipher.encrypt(_nonce(number, last=False), before, None))
                number += 1
            before = part
        file.write(cipher.encrypt(_nonce(number, last=True), before or b"", None))

    def read(self, path: Path) -> Iterator[bytes]:
        """The content of a sealed file, a segment at a time; what was given out was not changed.

        Raises:
            StoreError: it is missing, was cut short or changed, or was sealed by another key; naming it.
        """
        try:
            with path.open("rb") as file:
                yield from self._segments(path, file)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}.", _OTHER_COPY) from error

    def _segments(self, path: Path, file: BinaryIO) -> Iterator[bytes]:
        head = file.read(len(_MAGIC) + SALT)
        if len(head) < len(_MAGIC) + SALT or not head.startswith(_MAGIC):
            raise _changed(path)
        cipher = AESGCM(_derived(self._content, head[len(_MAGIC) :]))
        segment, number = file.read(SEGMENT + _TAG), 0
        while True:
            after = file.read(SEGMENT + _TAG)
            try:
                yield cipher.decrypt(_nonce(number, last=not after), segment, None)
            except (InvalidTag, ValueError):
                raise _changed(path) from None
            if not after:
                return
            segment, number = after, number + 1


@lru_cache(maxsize=4)
def _master(secret: str, salt: bytes) -> bytes:
    """A folder's key: derived once, however often a process opens the folder."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=1, maxmem=1 << 26, dklen=_KEY)


def _changed(path: Path) -> StoreError:
    return StoreError(f"{path} was changed or cut short.", _OTHER_COPY)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(_COUNTER, "big") + bytes([last])


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY, salt=None, info=b"motherlode/backup/" + purpose).derive(key)
