"""Feast's plug-ins: the offline store, the online store, the engine, and where the registry lies.

Enters: Feast's definitions, label frames, Parquet snapshots. Leaves: point-in-time joined frames, packed rows in Redis.
May import: the ground floor, Feast, Polars, PyArrow, NumPy, SQLAlchemy, the mart's manifest. `join.py` imports Polars
alone and `picks.py` NumPy besides, so that a GPU environment without Feast can load them. Must not import:
`feature_repo.store`, `feature_repo.features`.
"""
