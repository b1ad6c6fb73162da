"""Live answers: whom to contact, with what, and why.

Enters: a bundle, packed rows from Redis, HTTP requests. Leaves: JSON answers that say what they are made of.
May import: `motherlode`, Litestar, msgspec, NumPy, redis; Ray in `serving.app` alone.
Must not import: `training`, `feature_repo`, `motherlode.cli`, Feast, PyTorch, scikit-learn, Polars, pandas.
"""
