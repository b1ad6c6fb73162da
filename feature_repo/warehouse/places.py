"""A place that an erasure takes rows from: what the warehouse, the mart and the certificate all speak of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """One file, or one key of a store, that somebody's rows are taken from.

    Attributes:
        name: the kind of place: "raw", "identities", "clean", "quarantine", "integrated", "matches", "old", ...
        path: below home; of a store that is no file, the key.
        rows: how many of their rows, or places within rows, it held.
        sha256_before: of the file; "" where there is none.
        sha256_after: of what took its place; "" where nothing did.
    """

    name: str
    path: str
    rows: int
    sha256_before: str = ""
    sha256_after: str = ""
