"""The GPU check: what of the GPU code can be proved without a GPU.

Enters: `constraints.txt`, `motherlode/compute/gpu.py`, the feature plans. Leaves: a table of verdicts, an exit status.
May import: `environment` the standard library alone; the others RAPIDS, the ground floor, `feature_repo.features`.
Must not be imported by any room.
"""
