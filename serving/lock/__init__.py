"""The lock: who may call, what, and how often. `gate.Gate` is asked once a request, by `serving.front`."""
