"""The warehouse: raw → clean → integrated.

Enters: the company's tables, as landed. Leaves: the tables of `contract`, quarantine, merge ledger, lineage.
May import: the ground floor, Polars, msgspec.
Must not import: `feature_repo.features`, `feature_repo.stores`, Feast, Ray, RAPIDS.
"""

from feature_repo.warehouse.lineage import Lineage, TableLineage, fingerprint
from feature_repo.warehouse.pipeline import STEPS, build
from feature_repo.warehouse.tables import outside_ids, scan, scan_all

__all__ = ["STEPS", "Lineage", "TableLineage", "build", "fingerprint", "outside_ids", "scan", "scan_all"]
