"""Training: from labels and point-in-time frames to models, their figures, the report and the bundle.

Enters: the warehouse's tables, training frames (`view__feature`). Leaves: bundles under `models/`, ONNX alone.
May import: the ground floor, `feature_repo`, Polars, scikit-learn, XGBoost, PyTorch, ONNX.
Must not import: `motherlode.cli`, `serving`; Feast, Ray, RAPIDS (a GPU comes through `motherlode.compute`).
"""
