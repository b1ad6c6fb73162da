"""Signed bundles: a trusted key's signature over these very bytes, or the bundle is refused before it is read."""

from pathlib import Path

import msgspec
import pytest

from motherlode import signing
from motherlode.errors import BundleError, SettingsError
from motherlode.signing import SIGNATURE, Signature

OURS, THEIRS = "01" * 32, "02" * 32
MANIFEST = b'{"version": "v1", "files": {"a": "00"}}'


def signed(folder: Path, secret: str = OURS, manifest: bytes = MANIFEST) -> Path:
    (folder / SIGNATURE).write_text(signing.sign(manifest, secret) + "\n")
    return folder


def trusted(*secrets: str) -> tuple[str, ...]:
    return signing.trusted(",".join(map(signing.public_key, secrets)))


def test_the_signature_of_any_trusted_key_is_taken(tmp_path: Path) -> None:
    signing.require(MANIFEST, signed(tmp_path), trusted(OURS))
    signing.require(MANIFEST, signed(tmp_path, THEIRS), trusted(OURS, THEIRS))


def test_every_flipped_bit_of_the_manifest_or_the_signature_is_refused(tmp_path: Path) -> None:
    signed(tmp_path)
    for at in range(0, 8 * len(MANIFEST), 7):
        changed = bytearray(MANIFEST)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(BundleError, match="is not of its manifest"):
            signing.require(bytes(changed), tmp_path, trusted(OURS))
    whole = (tmp_path / SIGNATURE).read_bytes()
    for at in range(0, 8 * (len(whole) - 1), 7):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        if flipped.lower() == whole:  # a letter of a hexadecimal number in the other case
            continue
        (tmp_path / SIGNATURE).write_bytes(flipped)
        with pytest.raises(BundleError):
            signing.require(MANIFEST, tmp_path, trusted(OURS))


def test_another_key_is_refused_and_named_also_under_a_trusted_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=signing.key_id(signing.public_key(THEIRS))):
        signing.require(MANIFEST, signed(tmp_path, THEIRS), trusted(OURS))
    found = msgspec.json.decode((tmp_path / SIGNATURE).read_bytes(), type=Signature)
    claimed = msgspec.structs.replace(found, key=signing.key_id(signing.public_key(OURS)))
    (tmp_path / SIGNATURE).write_bytes(msgspec.json.encode(claimed))
    with pytest.raises(BundleError, match="is not of its manifest"):
        signing.require(MANIFEST, tmp_path, trusted(OURS))


def test_what_is_not_signed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not signed"):
        signing.require(MANIFEST, tmp_path, trusted(OURS))
    for content in (b"", b"{", b'{"key": "a"}', b'{"key": "a", "signature": "zz"}', b"\xff"):
        (tmp_path / SIGNATURE).write_bytes(content)
        with pytest.raises(BundleError, match="is no signature"):
            signing.require(MANIFEST, tmp_path, trusted(OURS))


@pytest.mark.parametrize("said", ["", " , ", "zz" * 32, "01" * 31, "01" * 31 + "0 "])
def test_trusted_keys_that_are_none_are_refused_and_never_mean_that_any_bundle_serves(said: str) -> None:
    with pytest.raises(SettingsError, match="MOTHERLODE_TRUSTED_KEYS"):
        signing.trusted(said)
    assert signing.trusted(None) == ()


def test_a_secret_that_is_no_signing_key_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError) as refused:
        signing.sign(MANIFEST, "not a key at all")
    assert "not a key at all" not in str(refused.value)
