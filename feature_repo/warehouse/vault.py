"""Raw files at rest: encrypted where a raw key is given, plain else; both are read alike.

PyArrow's Parquet modular encryption, footer included: AES-256-GCM with random keys a file, wrapped by AES-256-GCM under
the key that HKDF derives from the raw key. Every file names the id of the key that opens it, so that a layer may hold
plain files and files of several keys while a key is introduced or replaced.
"""

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Keys
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from feature_repo.warehouse.mapping.model import Mapping
from motherlode.errors import DataError
from motherlode.settings import Settings

_ENCRYPTED: Final = b"PARE"
"""The first and last bytes of a Parquet file with an encrypted footer (Parquet format, Encryption.md, 5.3)."""
_NONCE: Final = 12
_KEY_LIFE: Final = timedelta(minutes=5)
"""How long PyArrow keeps unwrapped keys of a file in memory."""
_NAME_KEY: Final = (
    "Set MOTHERLODE_RAW_KEY (or MOTHERLODE_RAW_KEY_FILE) as it was at the landing; while it is being replaced, "
    "MOTHERLODE_PREVIOUS_RAW_KEY holds the old one."
)
_RESTORE: Final = "Restore it from a backup, or land its source again."


def key_id(secret: str) -> str:
    """Tells raw keys apart without giving one away: 16 hex digits."""
    return _derived(secret, "key id", 8).hex()


class Mapped(Protocol):
    """A project, as far as its mapping."""

    @property
    def mapping(self) -> Mapping:
        """What `motherlode.yaml` says."""
        ...


def require(settings: Settings, project: Mapped, files: Iterable[Path] = ()) -> None:
    """Check that raw can be encrypted where the mapping demands it, and stays so where it is.

    Args:
        settings: with the raw key, where there is one.
        project: its mapping may demand encryption.
        files: what lies in raw.

    Raises:
        DataError: the mapping says `encrypt_raw` and no key is given, or a file in raw is plain; or a file is
            encrypted, no key is given, and what is landed next would lie beside it in clear.
    """
    if project.mapping.privacy.encrypt_raw and settings.raw_key is None:
        raise DataError(
            "The mapping says privacy.encrypt_raw, and there is no raw key.",
            "Give one by MOTHERLODE_RAW_KEY or MOTHERLODE_RAW_KEY_FILE; `motherlode keys new` makes one.",
        )
    for path in files:
        if settings.raw_key is None and encrypted(path):
            raise DataError(f"Raw is encrypted ({path}), and there is no raw key.", _NAME_KEY)
        if project.mapping.privacy.encrypt_raw and not encrypted(path):
            raise DataError(
                f"The mapping says privacy.encrypt_raw, and {path} is plain.",
                "Encrypt what was landed before by `motherlode rekey --raw`, then load again.",
            )


def writer(path: Path, schema: pa.Schema, settings: Settings) -> pq.ParquetWriter:
    """A writer of a raw file: zstd, encrypted where `settings.raw_key` is given.

    Without dictionaries: a column of text is read whole, and writing them took a quarter of a landing for a tenth of
    the size.
    """
    if settings.raw_key is None:
        return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)
    configuration = pe.EncryptionConfiguration(
        footer_key=key_id(settings.raw_key),
        uniform_encryption=True,
        data_key_length_bits=256,
        # One wrapping a file: the local wrapping costs microseconds, so a second level of keys would save nothing.
        double_wrapping=False,
    )
    properties = _factory(_keys(settings)).file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, encryption_properties=properties)


def reader(path: Path, settings: Settings) -> pq.ParquetFile:
    """A reader of a raw file, plain or encrypted.

    Raises:
        DataError: it is encrypted by a key that is not here, was changed, or is no whole Parquet file.
    """
    try:
        if not encrypted(path):
            return pq.ParquetFile(path)
        keys = _keys(settings)
        if not keys:
            raise DataError(f"The raw file {path} is encrypted, and there is no raw key.", _NAME_KEY)
        connection, configuration = pe.KmsConnectionConfig(), pe.DecryptionConfiguration(cache_lifetime=_KEY_LIFE)
        properties = _factory(keys).file_decryption_properties(connection, configuration)
        return pq.ParquetFile(path, decryption_properties=properties)
    except _UnknownKeyError as error:
        known = " and ".join(keys)
        raise DataError(f"The raw file {path} is encrypted by the key {error}; here is {known}.", _NAME_KEY) from None
    except (pa.ArrowException, OSError, InvalidTag, ValueError) as error:
        raise unreadable(path, error) from error


def batches(
    file: pq.ParquetFile, path: Path, size: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file that `reader` opened, a batch at a time: a damaged page is met only here.

    Raises:
        DataError: a page was changed, or its end is missing.
    """
    try:
        yield from file.iter_batches(size, columns=columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error


def encrypted(path: Path) -> bool:
    """Whether a Parquet file is encrypted, by its first bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_ENCRYPTED)) == _ENCRYPTED


def key_id_of(path: Path) -> str:
    """The id of the raw key that a file is encrypted by; empty for a plain file. No key is needed.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if not encrypted(path):
            return ""
        properties = _factory({}).file_decryption_properties(pe.KmsConnectionConfig(), pe.DecryptionConfiguration())
        pq.ParquetFile(path, decryption_properties=properties).close()
    except _UnknownKeyError as error:
        return str(error)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    raise DataError(f"The raw file {path} names no key.", _RESTORE)


def unreadable(path: Path, error: Exception) -> DataError:
    """What is said of a raw file whose reading ended in an error, be it at its opening or at a later page."""
    if isinstance(error, FileNotFoundError):
        return DataError(f"The raw file {path} is missing.", _RESTORE)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return DataError(f"The raw file {path} cannot be read, it was cut short or changed: {first_line}.", _RESTORE)


class _UnknownKeyError(Exception):
    """A file's key is none of those given; its text is the key's id."""


class _LocalKms(pe.KmsClient):  # type: ignore[misc]
    """Wraps a file's keys by the keys given, in this process.

    Args:
        keys: id → 32 bytes.
    """

    def __init__(self, keys: Keys[str, bytes]) -> None:
        super().__init__()
        self._keys = keys

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        """PyArrow's hook."""
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._keys[master_key_identifier]).encrypt(nonce, key_bytes, master_key_identifier.encode())
        return base64.b64encode(nonce + sealed).decode()

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        """PyArrow's hook."""
        key = self._keys.get(master_key_identifier)
        if key is None:
            raise _UnknownKeyError(master_key_identifier)
        sealed = base64.b64decode(wrapped_key)
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], master_key_identifier.encode())


def _factory(keys: Keys[str, bytes]) -> pe.CryptoFactory:
    return pe.CryptoFactory(lambda _: _LocalKms(keys))


def _keys(settings: Settings) -> dict[str, bytes]:
    """Key id → wrapping key, of the current and of the previous raw key."""
    secrets = [each for each in (settings.raw_key, settings.previous_raw_key) if each is not None]
    return {key_id(each): _derived(each, "wrapping", 32) for each in secrets}


def _derived(secret: str, purpose: str, length: int) -> bytes:
    info = b"motherlode/raw/" + purpose.encode()
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret.encode())
