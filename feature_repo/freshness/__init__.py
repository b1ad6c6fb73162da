"""Freshness: how old, how whole and how complete the online rows of each view are, and what the store holds.

Enters: the online store, the mart, Feast's registry. Leaves: a `Freshness`, or Prometheus metrics of it.
May import all of feature_repo, whose top layer it is; changes nothing.
"""
