"""Signatures of bundles: Ed25519 (RFC 8032) over the manifest's bytes, which hold the SHA-256 of every other file.

The signing key is 32 random bytes as hexadecimal text, as every key here; whoever trusts it is given the public key,
as hexadecimal text too. `manifest.sig` beside the manifest tells which key signed, and its signature.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from motherlode.errors import BundleError, SettingsError

SIGNATURE: Final = "manifest.sig"
_CONTEXT: Final = b"motherlode bundle manifest\n"
"""In front of what is signed, so that a signature for another purpose says nothing here."""
_BYTES: Final = 32
_ID: Final = 16
_SIGN: Final = "Sign it with a key that is trusted here: `motherlode publish --sign-key FILE`."


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signed a manifest.

    Attributes:
        key: the id of the public key.
        signature: 64 bytes, hexadecimal.
    """

    key: str
    signature: str


def public_key(secret: str) -> str:
    """The public key of a signing key: 64 hexadecimal digits.

    Raises:
        SettingsError: it is no signing key.
    """
    return _private(secret).public_key().public_bytes_raw().hex()


def key_id(public: str) -> str:
    """Tells public keys apart: 16 hexadecimal digits."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:_ID]


def trusted(setting: str | None) -> tuple[str, ...]:
    """The public keys of MOTHERLODE_TRUSTED_KEYS, comma-separated; none where it is unset: any bundle serves then.

    Raises:
        SettingsError: one of them is no public key, or it is set and names none.
    """
    if setting is None:
        return ()
    keys = tuple(each.strip().lower() for each in setting.split(",") if each.strip())
    for each in keys:
        if not _is_hex(each):
            raise SettingsError(
                f"MOTHERLODE_TRUSTED_KEYS has {each!r}, which is no public key.",
                "Give what `motherlode keys public` prints; several with commas between.",
            )
    if not keys:
        raise SettingsError("MOTHERLODE_TRUSTED_KEYS names no key.", "Unset it to serve bundles that nobody signed.")
    return keys


def sign(manifest: bytes, secret: str) -> str:
    """The line of `manifest.sig` for a manifest's bytes.

    Raises:
        SettingsError: `secret` is no signing key.
    """
    signature = _private(secret).sign(_CONTEXT + manifest).hex()
    return msgspec.json.encode(Signature(key_id(public_key(secret)), signature)).decode()


def require(manifest: bytes, folder: Path, keys: Sequence[str]) -> None:
    """Check that one of some keys signed a manifest.

    Args:
        manifest: its bytes, as they are used.
        folder: of the bundle.
        keys: public keys, of `trusted`.

    Raises:
        BundleError: nobody signed it, another key did, or the signature is not of these bytes.
    """
    path = folder / SIGNATURE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Signature)
        signature = bytes.fromhex(found.signature)
    except FileNotFoundError:
        raise BundleError(f"Bundle {folder.name} is not signed, and signatures are required.", _SIGN) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise BundleError(f"{path} is no signature.", _SIGN) from None
    by_id = {key_id(key): key for key in keys}
    if found.key not in by_id:
        known = ", ".join(by_id)
        raise BundleError(
            f"Bundle {folder.name} is signed by the key {found.key!r}, trusted are {known}.",
            "Publish one that a trusted key signed, or list that key in MOTHERLODE_TRUSTED_KEYS.",
        )
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(by_id[found.key])).verify(signature, _CONTEXT + manifest)
    except (InvalidSignature, ValueError):
        raise BundleError(f"The signature of bundle {folder.name} is not of its manifest.", _SIGN) from None


def _private(secret: str) -> Ed25519PrivateKey:
    if not _is_hex(secret):
        raise SettingsError(
            f"The signing key is not {2 * _BYTES} hexadecimal digits.", "`motherlode keys new` makes one."
        )
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))


def _is_hex(text: str) -> bool:
    try:
        return len(text) == 2 * _BYTES and len(bytes.fromhex(text)) == _BYTES
    except ValueError:
        return False
