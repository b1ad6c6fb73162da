"""Quality: may what a load has made be shown, what is wrong with it, and what do the tables look like.

Enters: the state, the mapping, the files of clean, quarantine and integrated. Leaves: findings, figures, one HTML page.
May import: contract, mapping, state, files, the ground floor, Polars, pandera, PyArrow (`parquet`), Jinja2.
Must not import: sources, raw, pipeline, Feast, `training`; it changes no layer.
"""

from feature_repo.warehouse.quality.finding import Finding, Verdict
from feature_repo.warehouse.quality.gate import judge

__all__ = ["Finding", "Verdict", "judge"]
