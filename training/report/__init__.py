"""The report: one HTML file that shows what a bundle is made of and how good it is, readable offline.

Enters: figures, segments, curves and histograms as plain arrays (`ReportData`). Leaves: the page, as text.
May import: the ground floor, `training.evaluate` for its types, NumPy, Jinja2.
Must not import: `feature_repo`, `serving`, any model library; it loads nothing and writes no file.
"""

from training.report.data import Distribution, Plane, Profile, ReportData, distribution
from training.report.render import render

__all__ = ["Distribution", "Plane", "Profile", "ReportData", "distribution", "render"]
