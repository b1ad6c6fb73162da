"""The recommender: a user tower from history and features, an item tower from id and attributes.

Enters: data frames of purchases, items and feature snapshots. Leaves: `fit.FittedTower` (ONNX, vectors, quality).
May import: NumPy, Polars, PyTorch, ONNX, ONNX Runtime, `training.ranking`, `training.result`, `motherlode`.
Must not import: Feast, Ray, `feature_repo`, `serving`; it opens no store and no file.
"""
