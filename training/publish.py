"""Puts fitted models together into a bundle, holds it to training's answers, and makes it current."""

import importlib
import io
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from motherlode import __version__, audit, bundle, bundles, names, refusal
from motherlode.compute import Compute
from motherlode.compute import libraries as compute_libraries
from motherlode.manifest import (
    ANSWERS,
    FORMAT,
    ITEM_INDEX,
    ITEM_TABLE,
    ITEM_VECTORS,
    NEIGHBOUR_INDEX,
    POPULAR,
    REPORT,
    SEARCH,
    ItemTable,
    Manifest,
    Popular,
    Quality,
    SearchIndex,
    Segment,
    Service,
    Tower,
)
from motherlode.runtime import verify
from motherlode.settings import Settings
from training.result import Fitted
from training.search_graph import search_graph

EXACT_ITEMS: Final = 200_000
"""Up to so many items every search is exact: one pass over them takes as long as the rest of an answer."""
_FEWEST_QUERIES: Final = 100
_INDEX: Final = "search index"
_NEIGHBOURS: Final = "index of similar items"
_NEIGHBOURS_OF: Final = 400
"""Items whose neighbours an index is tuned on, one half, and measured by, the other."""
_SEED: Final = 0


@dataclass(frozen=True)
class Origin:
    """Where a bundle comes from.

    Attributes:
        created: when; UTC. It names the version.
        data_fingerprint: SHA-256 of the training tables.
        code_fingerprint: SHA-256 of the code that trained.
        services: what serving reads online, by name.
    """

    created: datetime
    data_fingerprint: str
    code_fingerprint: str
    services: Mapping[str, Service]

    def made(self, manifest: Manifest) -> bool:
        """Whether a bundle comes from the same data, code and features."""
        return (manifest.data_fingerprint, manifest.code_fingerprint, dict(manifest.services)) == (
            self.data_fingerprint,
            self.code_fingerprint,
            dict(self.services),
        )


@dataclass(frozen=True)
class Recommender:
    """What the bundle holds of the recommender.

    Attributes:
        tower: how serving asks the user tower.
        onnx: the user tower.
        items: the catalogue.
        vectors: float32, shape (items, D).
        queries: float32, shape (Q, D): customers' vectors, by which the recall of an index is measured.
        popular: the lists for customers that nothing is known of.
        history, features, answer: sample inputs and what training answered on them.
    """

    tower: Tower
    onnx: bytes
    items: ItemTable
    vectors: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    popular: Popular
    history: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    answer: npt.NDArray[np.float32]


def write(
    settings: Settings,
    compute: Compute,
    origin: Origin,
    scorers: Sequence[Fitted],
    segments: Sequence[Segment],
    recommender: Recommender,
    quality: Sequence[Quality],
    left_out: Mapping[str, str],
    report: Callable[[Manifest], str],
) -> Path:
    """Write and verify a bundle; it is not current yet.

    Args:
        settings: where the bundles lie.
        compute: what it was trained on, and why.
        origin: when, from what, by which code.
        scorers: the tabular models.
        segments: the segments, by id.
        recommender: see `Recommender`.
        quality: every figure of the held-out part.
        left_out: models that the data cannot bear, and why.
        report: the HTML report of a bundle with this manifest.

    Returns:
        The bundle's folder.

    Raises:
        BundleError: it does not answer as training did; nothing is left behind.
    """
    index, content, why = index_of(recommender)
    similar, more, why_not = similar_index_of(recommender)
    manifest = Manifest(
        format=FORMAT,
        version=version_of(origin.created),
        created_at=origin.created.isoformat(timespec="seconds"),
        git_revision=git_revision(),
        data_fingerprint=origin.data_fingerprint,
        code_fingerprint=origin.code_fingerprint,
        identity=settings.identity.key_id,
        project=settings.project,
        device=compute.kind,
        device_reason=compute.reason,
        services=origin.services,
        models={fitted.name: fitted.model for fitted in scorers},
        segments=tuple(segments),
        tower=recommender.tower,
        quality=tuple(quality),
        libraries=libraries(),
        files={},
        left_out={**left_out, **why, **why_not},
        index=index,
        similar=similar,
    )
    files = {
        **{fitted.model.file: fitted.onnx for fitted in scorers},
        recommender.tower.model.file: recommender.onnx,
        ITEM_VECTORS: _npy(recommender.vectors),
        **content,
        **more,
        SEARCH: search_graph(),
        ITEM_TABLE: msgspec.json.encode(recommender.items),
        POPULAR: msgspec.json.encode(recommender.popular),
        ANSWERS: _npz(_answers(scorers, recommender)),
        REPORT: report(manifest).encode(),
    }
    return bundle.write(settings.models, manifest, files, verify)


def publish(settings: Settings, version: str) -> list[str]:
    """Verify a written bundle once more, make it current, and collect old ones; returns those that went.

    Where the settings have a signing key, it signs the bundle.

    Raises:
        BundleError: there is no such version, it does not verify, or is not signed by a key that the settings trust;
            the old bundle keeps serving.
        SettingsError: the signing key is none.
    """
    if version not in bundles.versions(settings.models):
        bundles.flip(settings.models, version)  # names the versions there are
    if settings.signing_key is not None:
        # Nothing is signed that was changed since it was made, or since it was looked at.
        verified = _verify(replace(settings, trusted_keys=None), version)
        bundle.sign(settings.models / version, settings.signing_key, verified)
    _verify(settings, version)
    audit.check(settings)
    refused = refusal.holding(settings.models)
    bundles.flip(settings.models, version)
    with suppress(OSError):  # it holds no more; a later rollback would pass the bundle over
        refusal.lift(settings.models, version)
    gone = bundles.collect(settings.models, settings.keep_bundles, None if refused is None else refused.serving)
    audit.record(settings, "publish", version, collected=len(gone))
    return gone


def take_back(settings: Settings) -> str:
    """Verify the bundle that was published before the current one and make it current; returns its version.

    One that serving refused, and that nobody published again since, is passed over.

    Raises:
        BundleError: there is none, or it does not verify; the current one keeps serving.
    """
    refused: Collection[str] = ()
    with suppress(OSError):
        refused = refusal.read(settings.models).keys()
    _verify(settings, bundles.previous(settings.models, refused))
    audit.check(settings)
    withdrawn = bundles.current(settings.models).name
    version = bundles.flip_back(settings.models, refused)
    audit.record(settings, "rollback", version, withdrawn=withdrawn)
    return version


def rebind(settings: Settings) -> str | None:
    """Bind the bundle that serves to the current pseudonym key: the same files as a new version, verified, current.

    A bundle holds no customer; its key says whose rows its server can read.

    Returns:
        The new version; None where no bundle was published, or it is bound to the current key.

    Raises:
        BundleError: it was made with a key that is neither current nor previous, or does not verify; it keeps serving.
    """
    if not (settings.models / bundles.CURRENT).exists():
        return None
    old = bundle.load(bundles.current(settings.models), settings.trusted_keys)
    identity = settings.identity
    if old.manifest.identity == identity.key_id:
        return None
    bundle.require_identity(old.manifest, identity)
    now = datetime.now(UTC)
    manifest = msgspec.structs.replace(
        old.manifest,
        version=version_of(now),
        created_at=now.isoformat(timespec="seconds"),
        identity=identity.key_id,
    )
    files = {name: old.content(name) for name in old.manifest.files}
    bundle.write(settings.models, manifest, files, verify)
    publish(settings, manifest.version)
    return manifest.version


def _verify(settings: Settings, version: str) -> Manifest:
    loaded = bundle.load(settings.models / version, settings.trusted_keys)
    bundle.require_identity(loaded.manifest, settings.identity)
    verify(loaded)
    return loaded.manifest


def version_of(created: datetime) -> str:
    """A bundle's version: sorts by time."""
    return created.strftime("%Y%m%dT%H%M%SZ")


def git_revision() -> str:
    """The checkout's commit; empty outside one or without git."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return answer.stdout.strip()


def libraries() -> Mapping[str, str]:
    """The versions of Motherlode and of the libraries that make a model what it is; those that are installed."""
    found = compute_libraries.versions()
    return {"motherlode": __version__, **{name: version for name, version in found.items() if version is not None}}


def index_of(
    recommender: Recommender, exact_items: int = EXACT_ITEMS
) -> tuple[SearchIndex | None, Mapping[str, bytes], Mapping[str, str]]:
    """The index of a large catalogue.

    Args:
        recommender: its vectors, and queries to measure by.
        exact_items: how large a catalogue may be that needs none.

    Returns:
        How it is to be asked, and its file by name; or why there is none though the catalogue is large.
    """
    items = len(recommender.vectors)
    if items <= exact_items:
        return None, {}, {}
    if len(recommender.queries) < _FEWEST_QUERIES:
        return None, {}, {_INDEX: f"its recall cannot be measured by {len(recommender.queries)} customers"}
    # By name: it imports Faiss, which a smaller catalogue does not need.
    room: Any = importlib.import_module("motherlode.index")
    content = room.build(recommender.vectors, _SEED)
    tuned = room.tune(room.Index(content), recommender.vectors, recommender.queries)
    if not room.worthwhile(tuned, items):
        found = f"it finds {tuned.recall:.3f} of the best items and reads {tuned.examined} of {items}"
        return None, {}, {_INDEX: f"{found}; every search is exact"}
    index = SearchIndex(ITEM_INDEX, exact_items, tuned.examined, tuned.recall, tuned.queries)
    return index, {ITEM_INDEX: content}, {}


def similar_index_of(
    recommender: Recommender, exact_items: int = EXACT_ITEMS
) -> tuple[SearchIndex | None, Mapping[str, bytes], Mapping[str, str]]:
    """The index of items like an item, in a large catalogue; it is measured by items. See `index_of`."""
    items = len(recommender.vectors)
    if items <= exact_items:
        return None, {}, {}
    room: Any = importlib.import_module("motherlode.index")
    vectors = room.unit(recommender.vectors[:, :-1] if recommender.tower.biased else recommender.vectors)
    content = room.build(vectors, _SEED)
    own = np.random.default_rng(_SEED).choice(items, min(items, _NEIGHBOURS_OF), replace=False)
    tuned = room.tune(room.Index(content), vectors, vectors[own], own)
    if not room.worthwhile(tuned, items):
        found = f"it finds {tuned.recall:.3f} of the nearest items and reads {tuned.examined} of {items}"
        return None, {}, {_NEIGHBOURS: f"{found}; they are looked for exactly"}
    index = SearchIndex(NEIGHBOUR_INDEX, exact_items, tuned.examined, tuned.recall, tuned.queries)
    return index, {NEIGHBOUR_INDEX: content}, {}


def _answers(scorers: Sequence[Fitted], recommender: Recommender) -> dict[str, npt.NDArray[Any]]:
    answers = {}
    for fitted in scorers:
        answers[f"{fitted.name}.features"] = fitted.features
        answers[f"{fitted.name}.answer"] = fitted.answer
    answers[f"{names.USER_TOWER}.history"] = recommender.history
    answers[f"{names.USER_TOWER}.features"] = recommender.features
    answers[f"{names.USER_TOWER}.answer"] = recommender.answer
    return answers


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
