"""Feast lives here and nowhere else.

Enters: the company's tables. Leaves: the warehouse's layers, feature snapshots, training frames, packed online rows.
May import: the ground floor, Feast, Polars, PyArrow.
Must not import: `motherlode.cli`, `training`, `serving`; Ray, PyTorch, RAPIDS (but through `motherlode.compute`).
"""
