"""The model bundle: training writes it, serving reads it.

`models/<version>/` holds `manifest.json`, the models as ONNX, the item index and table, the popular
lists and the report. No pickle anywhere. A bundle is written to a temporary folder, verified there,
renamed into place, and `current` is flipped in one step: any doubt leaves the old bundle serving.
"""

import hashlib
import importlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode import disk
from motherlode.errors import BundleError
from motherlode.identity import Identity
from motherlode.manifest import (
    ANSWERS,
    FORMAT,
    ITEM_TABLE,
    ITEM_VECTORS,
    MANIFEST,
    MANIFEST_DIGEST,
    POPULAR,
    ItemTable,
    Manifest,
    Popular,
)

_READ_HERE: Final = frozenset((ITEM_TABLE, POPULAR, ITEM_VECTORS, ANSWERS))
_NPY: Final = (1, 0)
"""Of NumPy's file format; a later one is for headers that no array of numbers has."""
_TRAIN: Final = "Run `motherlode demo`, or `motherlode train`."
_REPUBLISH: Final = "Run `motherlode rollback`, or train and publish again."


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, in memory but for its ONNX files.

    Attributes:
        folder: where it lies.
        manifest: see `Manifest`.
        items: the catalogue.
        vectors: shape (items, D), float32, C order, read-only.
        popular: the lists for customers that nothing is known of.
        answers: what training answered on sample inputs: arrays by name, `<model>.features`,
            `<model>.history` (the tower only) and `<model>.answer`.
    """

    folder: Path
    manifest: Manifest
    items: ItemTable
    vectors: npt.NDArray[np.float32]
    popular: Popular
    answers: Mapping[str, npt.NDArray[Any]]

    def content(self, name: str) -> bytes:
        """A file, as it was published: what is compared with the manifest is what is returned, and no second reading.

        Raises:
            BundleError: it is missing, was changed, or the manifest vouches for no such file.
        """
        return _content(self.folder, self.manifest, name)


def load(folder: Path, trusted: str | None = None) -> Bundle:
    """Read a bundle and check it against its manifest.

    Args:
        folder: the bundle's.
        trusted: MOTHERLODE_TRUSTED_KEYS: a bundle that none of these keys signed is refused before it is read. None:
            any bundle is taken.

    Raises:
        BundleError: a file is missing, was changed, or cannot be read, naming it; or it is not signed as it must be.
    """
    manifest = read_manifest(folder, trusted)
    models = (*manifest.models.values(), manifest.tower.model)
    indexes = tuple(each.file for each in (manifest.index, manifest.similar) if each is not None)
    for name in (ITEM_TABLE, POPULAR, ITEM_VECTORS, ANSWERS, *(model.file for model in models), *indexes):
        if name not in manifest.files:
            raise BundleError(f"The manifest of bundle {manifest.version} vouches for no {name}.", _REPUBLISH)
    for name, digest in manifest.files.items():
        if name not in _READ_HERE and _digest(folder, manifest, name) != digest:
            raise _changed(manifest, name)
    try:
        items = msgspec.json.decode(_content(folder, manifest, ITEM_TABLE), type=ItemTable)
        popular = msgspec.json.decode(_content(folder, manifest, POPULAR), type=Popular)
        vectors = _array(_content(folder, manifest, ITEM_VECTORS))
        with np.load(io.BytesIO(_content(folder, manifest, ANSWERS)), allow_pickle=False) as stored:
            answers = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise BundleError(f"Bundle {manifest.version} cannot be read: {error}.", _REPUBLISH) from error
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != len(items.ids):
        raise BundleError(
            f"{ITEM_VECTORS} of bundle {manifest.version} is {vectors.dtype} {vectors.shape}, "
            f"the item table has {len(items.ids)} rows.",
            _REPUBLISH,
        )
    if not np.isfinite(vectors).all():
        raise BundleError(f"{ITEM_VECTORS} of bundle {manifest.version} holds NaN or infinity.", _REPUBLISH)
    return Bundle(folder, manifest, items, np.ascontiguousarray(vectors), popular, answers)


def _content(folder: Path, manifest: Manifest, name: str) -> bytes:
    """A file that was read once, and held to its digest as it was read."""
    digest = manifest.files.get(name)
    if digest is None:
        raise BundleError(f"The manifest of bundle {manifest.version} vouches for no {name}.", _REPUBLISH)
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError:
        raise _lacking(manifest, name) from None
    except OSError as error:
        raise BundleError(f"{name} of bundle {manifest.version} cannot be read: {error}.", _REPUBLISH) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise _changed(manifest, name)
    return content


def _digest(folder: Path, manifest: Manifest, name: str) -> str:
    """The SHA-256 of a file that is not used now: it need not be held in memory."""
    path = folder / name
    if not path.is_file():
        raise _lacking(manifest, name)
    return sha256(path)


def _array(content: bytes) -> npt.NDArray[Any]:
    """An array of an .npy file, without a second copy of it: a view of the bytes, read-only.

    Raises:
        ValueError: it is no such file, or holds objects.
    """
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != _NPY:
        raise ValueError("it is of another version of NumPy's format")
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds objects")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape, order="F" if by_columns else "C")


def _lacking(manifest: Manifest, name: str) -> BundleError:
    return BundleError(f"Bundle {manifest.version} lacks {name}.", _REPUBLISH)


def _changed(manifest: Manifest, name: str) -> BundleError:
    return BundleError(f"{name} of bundle {manifest.version} is not the file that was published.", _REPUBLISH)


def sign(folder: Path, secret: str, verified: Manifest | None = None) -> None:
    """Sign a bundle, in place of whoever signed it before.

    Args:
        folder: the bundle's.
        secret: a signing key.
        verified: the manifest that is to be signed, where it was looked at before; None: whichever is there.

    Raises:
        BundleError: there is none, or it was changed, since it was verified or at all.
        SettingsError: it is no signing key.
    """
    manifest, content = _manifest(folder, None)
    if verified is not None and manifest != verified:
        raise BundleError(f"Bundle {manifest.version} was changed while it was published.", _REPUBLISH)
    signing = _signing()
    disk.replace(folder / signing.SIGNATURE, f"{signing.sign(content, secret)}\n".encode(), 0o644)


def read_manifest(folder: Path, trusted: str | None = None) -> Manifest:
    """The manifest alone, its files unchecked.

    Args:
        folder, trusted: as of `load`.

    Raises:
        BundleError: there is none, it was changed, is another version's, or is not signed as it must be.
    """
    return _manifest(folder, trusted)[0]


def _manifest(folder: Path, trusted: str | None) -> tuple[Manifest, bytes]:
    """The manifest, and the bytes that it was decoded from; see `read_manifest`."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        digest = (folder / MANIFEST_DIGEST).read_text().strip()
    except FileNotFoundError as error:
        raise BundleError(f"There is no bundle in {folder}: {error.filename} is missing.", _TRAIN) from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(f"{path} is not the file that was published.", _REPUBLISH)
    if trusted is not None:
        signing = _signing()
        signing.require(content, folder, signing.trusted(trusted))
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise BundleError(f"{path} cannot be read: {error}.", "It is of another release: train again.") from error
    if manifest.format != FORMAT:
        raise BundleError(
            f"Bundle {manifest.version} has format {manifest.format}, this version reads {FORMAT}.", _REPUBLISH
        )
    if manifest.version != folder.name:
        raise BundleError(f"{folder} holds the manifest of bundle {manifest.version}.", _REPUBLISH)
    return manifest, content


def require_identity(manifest: Manifest, identity: Identity) -> None:
    """Check that a bundle's customers are known by keys that this identity makes, by its current or a previous key.

    Raises:
        BundleError: they are not; every customer would be unknown.
    """
    if manifest.identity not in identity.key_ids:
        made, here = (
            " or ".join(f"the pseudonym key {each}" if each else "no pseudonym key" for each in key_ids)
            for key_ids in ((manifest.identity,), identity.key_ids)
        )
        raise BundleError(
            f"Bundle {manifest.version} was made with {made}, here is {here}.",
            "Set MOTHERLODE_PSEUDONYM_KEY as it was; or list that key in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS and run "
            "`motherlode rekey`; or run every stage again.",
        )


def write(
    models: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    verify: Callable[[Bundle], None],
) -> Path:
    """Write a bundle, verify it, and put it in place without making it current.

    Args:
        models: the folder of all bundles.
        manifest: its `files` are filled in here.
        files: name → content, everything but the manifest.
        verify: raises where the loaded bundle does not answer as training did.

    Returns:
        The bundle's folder, `models/<version>`.

    Raises:
        BundleError: the version exists, or the bundle does not verify. Nothing is left behind.
    """
    models.mkdir(parents=True, exist_ok=True)
    target = models / manifest.version
    if target.exists():
        raise BundleError(f"Bundle {manifest.version} exists.", "Train again; a version is never overwritten.")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    complete = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, files=digests)), indent=1)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=models) as scratch:
        folder = Path(scratch) / manifest.version
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_bytes(complete)
        (folder / MANIFEST_DIGEST).write_text(hashlib.sha256(complete).hexdigest() + "\n")
        verify(load(folder))
        folder.rename(target)
    return target


def _signing() -> Any:
    # Whoever signs no bundles has no use for `cryptography`, which takes memory of every replica.
    return importlib.import_module("motherlode.signing")


def sha256(path: Path) -> str:
    """A file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
