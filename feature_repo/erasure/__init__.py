"""Erasure: customers out of every place of a home and of the online store, certified, and kept out from then on.

Enters: outside ids. Leaves: a certificate, tombstones, rewritten files.
May import the warehouse, the mart and the stores; `feature_repo.store` is the door to it.
"""
