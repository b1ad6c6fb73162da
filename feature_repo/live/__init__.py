"""The live way: events from the stream into the view `live`, and landed in raw, each exactly once.

Enters: the stream of `motherlode.events`. Leaves: packed rows, and segments of raw (`feature_repo.warehouse.events`).
May import the warehouse and the ground floor; must not import Feast, so that the consumer starts at once.
"""
