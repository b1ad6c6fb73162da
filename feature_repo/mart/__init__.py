"""The mart: the views' snapshots as Parquet, built where something changed, and the manifest that names the files.

Enters: integrated tables and the views. Leaves: `mart/`, whole or not at all, for Feast's stores and for training.
May import: `feature_repo.features`, `feature_repo.warehouse`, the ground floor, Polars, PyArrow, msgspec.
Must not import: Feast, Ray, RAPIDS.
"""
