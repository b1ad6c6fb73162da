"""The model bundle: training writes it, serving reads it.

`models/<version>/` holds `manifest.json`, the models as ONNX, the item index and table, the popular
lists and the report. No pickle anywhere. A bundle is written to a temporary folder, verified there,
renamed into place, and `current` is flipped in one step: any doubt leaves the old bundle serving.
"""

import hashlib
import importlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode import disk
from motherlode.errors import BundleError
from motherlode.identity import Identity
from motherlode.online.reader import ViewRequest

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_DIGEST: Final = "manifest.sha256"
ITEM_VECTORS: Final = "items.npy"
ITEM_TABLE: Final = "items.json"
POPULAR: Final = "popular.json"
ANSWERS: Final = "answers.npz"
REPORT: Final = "report.html"
ITEM_INDEX: Final = "items.index"
SEARCH: Final = "search.onnx"
"""Users × items → the best, for a GPU; it holds no vector."""
CAMPAIGN: Final = "campaign"
"""What stands for a view where an input is the request's campaign type, one-hot."""
CURRENT: Final = "current"
PUBLISHED: Final = "published"
"""The versions that were made current, in that order; a rollback takes the last one off."""

PROBABILITY_TOLERANCE: Final = 1e-5
VECTOR_TOLERANCE: Final = 1e-4
RECALL: Final = 0.98
"""Of the exact best 10, what an index must find to be used."""


class Input(msgspec.Struct, frozen=True):
    """One column of a model's input matrix.

    Attributes:
        view: the feature view it comes from, or `CAMPAIGN`.
        name: the feature's name; for `CAMPAIGN` the campaign type it is 1 for.
        default: the value that stands for null, stale or unknown (the training median).
        edges: deciles of the training values, 9 ascending numbers; the drift profile. Empty for `CAMPAIGN`.
    """

    view: str
    name: str
    default: float
    edges: tuple[float, ...] = ()


class Model(msgspec.Struct, frozen=True):
    """An ONNX model of the bundle.

    Attributes:
        file: its name in the bundle's folder.
        inputs: the columns of its float32 matrix `features`, shape (N, len(inputs)), in order.
        output: the ONNX output to read.
    """

    file: str
    inputs: tuple[Input, ...]
    output: str


class Segment(msgspec.Struct, frozen=True):
    """A customer segment.

    Attributes:
        id: the model's label.
        name, description: for people.
        share: of the customers trained on.
        customers: how many of them.
    """

    id: int
    name: str
    share: float
    description: str
    customers: int


class Service(msgspec.Struct, frozen=True):
    """A feature service as it was resolved at training: what to read online."""

    name: str
    views: tuple[ViewRequest, ...]


class Tower(msgspec.Struct, frozen=True):
    """How the recommender asks its user tower.

    The ONNX model takes `history`, int64 of shape (N, history_length): row numbers of the item table plus
    one, newest first, 0 where there is none; and `features`, float32 of shape (N, len(model.inputs)). It
    answers float32 of shape (N, D). An item's score is its vector's product with the answer, plus
    `repeat_weight` · log1p(weight) for the items that the customer keeps buying.

    Attributes:
        model: the user tower.
        history_length: the longest history it was trained on.
        repeat_weight: tuned on the validation part; 0 switches repeats off.
        biased: the vectors' last dimension is the item's bias, and says nothing of what the item is like.
    """

    model: Model
    history_length: int
    repeat_weight: float
    biased: bool = False


class SearchIndex(msgspec.Struct, frozen=True):
    """The index of a catalogue that is too large to read whole for each customer (`motherlode.index`).

    Attributes:
        file: its name in the bundle's folder.
        exact_items: up to so many items that a filter allows are searched without it, exactly.
        examined: allowed rows that a search for 10 reads.
        recall: the share of the exact best 10 that it finds; the mean over `queries` customers' vectors, other than
            those that it was tuned on.
        queries: how many.
    """

    file: str
    exact_items: int
    examined: int
    recall: float
    queries: int


class Quality(msgspec.Struct, frozen=True):
    """A measured figure beside the baseline that a sceptic would choose, on the same held-out part.

    Attributes:
        model: `names.RESPONSE` and the like.
        metric: the field's name for it: "AUC", "average precision", "recall@10".
        value: the mean over the seeds.
        spread: the standard deviation over the seeds; None for one fit without randomness.
        baseline: what it is compared with: "recency alone".
        baseline_value: the baseline's figure.
        higher_is_better: False for errors.
        error: the standard error of the difference from the baseline, paired over the test rows; None where it was
            not measured.
    """

    model: str
    metric: str
    value: float
    spread: float | None
    baseline: str
    baseline_value: float
    higher_is_better: bool = True
    error: float | None = None

    @property
    def wins(self) -> bool:
        """Whether the model is ahead of its baseline, by however little."""
        gain = self.value - self.baseline_value
        return gain > 0 if self.higher_is_better else gain < 0

    @property
    def close(self) -> bool:
        """Whether the difference is less than one spread between seeds, or than two standard errors."""
        gain = abs(self.value - self.baseline_value)
        return gain < max(self.spread or 0.0, 2 * (self.error or 0.0))

    @property
    def verdict(self) -> str:
        """Who wins, in words."""
        if self.value == self.baseline_value:
            return "level"
        who = "model" if self.wins else "baseline"
        return f"{who} ahead, within the noise" if self.close else f"{who} wins"


class Manifest(msgspec.Struct, frozen=True):
    """Everything that tells two bundles apart.

    Attributes:
        version: the folder's name; sorts by time.
        created_at: ISO 8601, UTC.
        git_revision: of the code that trained; empty outside a checkout.
        data_fingerprint: SHA-256 of the training tables.
        code_fingerprint: SHA-256 of the code that trained.
        identity: `Identity.key_id` of the pseudonym key that the customers' keys were made with.
        device, device_reason: what it was trained on and why.
        services: what to read online.
        models: scorers by name (`names.SEGMENTS`, `names.RESPONSE`, `names.INACTIVE_28D`).
        segments: the segments, by id.
        tower: the recommender.
        quality: every model's figures beside its baselines, of the held-out part.
        libraries: name → version.
        files: file name → SHA-256, all but the manifest.
        left_out: a model that the data cannot bear → why; also an index that does not find enough.
        index: of the catalogue; None: it is searched exactly.
    """

    format: int
    version: str
    created_at: str
    git_revision: str
    data_fingerprint: str
    code_fingerprint: str
    identity: str
    project: str
    device: str
    device_reason: str
    services: Mapping[str, Service]
    models: Mapping[str, Model]
    segments: tuple[Segment, ...]
    tower: Tower
    quality: tuple[Quality, ...]
    libraries: Mapping[str, str]
    files: Mapping[str, str]
    left_out: Mapping[str, str] = {}
    index: SearchIndex | None = None


class ItemTable(msgspec.Struct, frozen=True):
    """The catalogue, row for row beside the item vectors.

    Attributes:
        ids: as the company has them, integers or strings.
        keys: the same as strings, as `history` holds them.
        names, categories: for people; an empty text where there is none.
        prices: of one piece; None where an item has none; empty where the data have none.
        stock: pieces; None where nobody says; empty where the data have none.
        popularity: share of all baskets that an item is in, recent ones weighing more; empty: see `Popular`.
    """

    ids: tuple[int | str, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    categories: tuple[str, ...]
    prices: tuple[float | None, ...] = ()
    stock: tuple[float | None, ...] = ()
    popularity: tuple[float, ...] = ()


class Popular(msgspec.Struct, frozen=True):
    """Row numbers of the item table, most popular first, with their scores: overall and by segment id."""

    overall: tuple[tuple[int, float], ...]
    by_segment: Mapping[int, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, in memory but for its ONNX files.

    Attributes:
        folder: where it lies.
        manifest: see `Manifest`.
        items: the catalogue.
        vectors: shape (items, D), float32, C order.
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
    indexes = () if manifest.index is None else (manifest.index.file,)
    for name in (ITEM_TABLE, POPULAR, ITEM_VECTORS, ANSWERS, *(model.file for model in models), *indexes):
        if name not in manifest.files:
            raise BundleError(f"The manifest of bundle {manifest.version} vouches for no {name}.", _REPUBLISH)
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"Bundle {manifest.version} lacks {name}.", _REPUBLISH)
        if sha256(path) != digest:
            raise BundleError(f"{name} of bundle {manifest.version} is not the file that was published.", _REPUBLISH)
    try:
        items = msgspec.json.decode((folder / ITEM_TABLE).read_bytes(), type=ItemTable)
        popular = msgspec.json.decode((folder / POPULAR).read_bytes(), type=Popular)
        vectors = np.load(folder / ITEM_VECTORS, allow_pickle=False)
        with np.load(folder / ANSWERS, allow_pickle=False) as stored:
            answers = dict(stored)
    except (OSError, ValueError, msgspec.DecodeError) as error:
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


def sign(folder: Path, secret: str) -> None:
    """Sign a bundle, in place of whoever signed it before.

    Args:
        folder: the bundle's.
        secret: a signing key.

    Raises:
        BundleError: there is none, or it was changed.
        SettingsError: it is no signing key.
    """
    manifest = read_manifest(folder)
    content = (folder / MANIFEST).read_bytes()
    if hashlib.sha256(content).hexdigest() != (folder / MANIFEST_DIGEST).read_text().strip():
        raise BundleError(f"Bundle {manifest.version} is being changed.", _REPUBLISH)
    signing = _signing()
    _replace(folder / signing.SIGNATURE, [signing.sign(content, secret)])


def read_manifest(folder: Path, trusted: str | None = None) -> Manifest:
    """The manifest alone, its files unchecked.

    Args:
        folder, trusted: as of `load`.

    Raises:
        BundleError: there is none, it was changed, is another version's, or is not signed as it must be.
    """
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
    return manifest


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


def versions(models: Path) -> list[str]:
    """Every written version, oldest first, published or not."""
    if not models.is_dir():
        return []
    return sorted(path.parent.name for path in models.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))


def current(models: Path) -> Path:
    """The folder of the bundle that serves.

    Raises:
        BundleError: nothing was published.
    """
    pointer = models / CURRENT
    try:
        version = pointer.read_text().strip()
    except FileNotFoundError:
        raise BundleError(
            f"No bundle is published in {models}.", "Run `motherlode demo`, or `motherlode train` and `publish`."
        ) from None
    return models / version


def flip(models: Path, version: str) -> None:
    """Make a version current, in one step.

    Raises:
        BundleError: there is no such version.
    """
    if version not in versions(models):
        raise BundleError(
            f"There is no bundle {version!r} in {models}.", f"Written: {', '.join(versions(models)) or 'none'}."
        )
    known = published(models)
    if known[-1:] != [version]:
        _replace(models / PUBLISHED, [*known, version])
    _replace(models / CURRENT, [version])


def published(models: Path) -> list[str]:
    """The versions that were made current, the current one last; those that were rolled back are not among them."""
    try:
        return (models / PUBLISHED).read_text().split()
    except FileNotFoundError:
        return []


def previous(models: Path) -> str:
    """The version that was current before, and is still there.

    Raises:
        BundleError: there is none.
    """
    now = current(models).name
    for version in reversed(published(models)):
        if version != now and version in versions(models):
            return version
    raise BundleError(f"No bundle was published before {now}.", "Train and publish a new one.")


def flip_back(models: Path) -> str:
    """Make the version before current again, as if the current one had never been published; returns it.

    Raises:
        BundleError: there is none.
    """
    version = previous(models)
    known = published(models)
    last = len(known) - known[::-1].index(version)
    _replace(models / PUBLISHED, known[:last])
    _replace(models / CURRENT, [version])
    return version


def _signing() -> Any:
    # Whoever signs no bundles has no use for `cryptography`, which takes memory of every replica.
    return importlib.import_module("motherlode.signing")


def _replace(path: Path, lines: Sequence[str]) -> None:
    """Write a small file in one step; it is on the disk when this returns."""
    disk.replace(path, "".join(f"{line}\n" for line in lines).encode(), 0o644)


def collect(models: Path, keep: int) -> list[str]:
    """Delete all but the current bundle and the newest `keep` others; returns what went."""
    with suppress(BundleError):
        serving = current(models).name
        gone = [version for version in versions(models) if version != serving][:-keep]
        for version in gone:
            shutil.rmtree(models / version)
        return gone
    return []


def sha256(path: Path) -> str:
    """A file's SHA-256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_TRAIN: Final = "Run `motherlode demo`, or `motherlode train`."
_REPUBLISH: Final = "Run `motherlode rollback`, or train and publish again."
