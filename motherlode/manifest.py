"""What a bundle's manifest says, and the tables beside it; the names of the files of a bundle."""

from collections.abc import Mapping
from typing import Final

import msgspec

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
NEIGHBOUR_INDEX: Final = "neighbours.index"
SEARCH: Final = "search.onnx"
"""Users × items → the best, for a GPU; it holds no vector."""
CAMPAIGN: Final = "campaign"
"""What stands for a view where an input is the request's campaign type, one-hot."""
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
        edges, shares, nulls: the drift profile, of the newest rows trained on: `stability.Seen`. Older bundles have
            nine ascending deciles as `edges`, and no `shares`. Nothing for `CAMPAIGN`.
        moved: the population stability index of these rows against as many before them: what it does by itself. None
            where there were none before.
    """

    view: str
    name: str
    default: float
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    nulls: float | None = None
    moved: float | None = None


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
        similar: the index of items like an item, each vector of length 1 and without its bias, measured by items of the
            catalogue; None: they are looked for exactly.
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
    similar: SearchIndex | None = None


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
