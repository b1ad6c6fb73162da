"""One script a claim. `make bench` runs them all.

Enters: a claim and the product. Leaves: a table, and `results/<name>.json`.
May import: every room. Must not be imported by any of them, nor by the tests' assertions.
"""
