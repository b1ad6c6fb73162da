"""The ground floor: what two rooms need, and nothing else.

Enters: settings from the environment. Leaves: names, errors, the packed row, the bundle, identities.
May import: NumPy, msgspec, redis, ONNX Runtime; `motherlode.compute` also its device libraries.
Must not import: `feature_repo`, `training`, `serving`, Feast, Ray, PyTorch.
"""

__version__ = "0.1.0"
