"""The warehouse: raw → clean → integrated.

Enters: the company's tables, as landed. Leaves: the tables of `contract`, quarantine, merge ledger, lineage.
May import: the ground floor, Polars, msgspec, and each library behind its own module (readers, Splink, pandera).
Must not import: `feature_repo.features`, `feature_repo.stores`, Feast, Ray, RAPIDS.
"""
