"""One choice of device, in one place: a door (`choose`, `room`) and two twin rooms behind it.

Enters: "auto", "cpu" or "gpu"; LazyFrames and arrays. Leaves: `Compute(kind, reason)`, frames, scikit-learn models.
May import: the ground floor; the rooms, which `room` loads by name, also Polars, scikit-learn, XGBoost and RAPIDS.
Must not import: any room above; PyTorch; and here at the door, nothing that serving does not have.
"""

from motherlode.compute.device import Compute, Purpose, choose, room
from motherlode.compute.room import Room

__all__ = ["Compute", "Purpose", "Room", "choose", "room"]
