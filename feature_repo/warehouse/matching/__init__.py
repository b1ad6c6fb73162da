"""Which customers are one person: Splink's Fellegi-Sunter model on DuckDB, in memory and offline.

Enters: people, as a frame of texts. Leaves: who is whom, how probable that is, and which fields agreed.
May import: the ground floor, Polars, DuckDB, Splink (in `pairs` alone).
Must not import: the state, other parts of the warehouse; nothing here reads or writes a file of the company's.
"""

from feature_repo.warehouse.matching.merging import MATCHES, find
from feature_repo.warehouse.matching.normalise import COLUMNS

__all__ = ["COLUMNS", "MATCHES", "find"]
