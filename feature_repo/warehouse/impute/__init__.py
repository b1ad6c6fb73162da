"""Missing values filled in, from the past alone: by a statistic, a model or a rule of the company's.

Enters: a frame of canonical rows, and how its columns are imputed. Leaves: the frame, a flag beside each.
May import: the mapping's expressions, the ground floor with `motherlode.compute`, Polars, NumPy.
Must not import: the state; scikit-learn or XGBoost, which `motherlode.compute` stands for.
"""

from feature_repo.warehouse.impute.filling import MISSING, fill

__all__ = ["MISSING", "fill"]
