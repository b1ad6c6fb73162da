"""The feature views: one module each, a pure function of the integrated tables.

Enters: integrated tables, snapshot times. Leaves: rows by key and snapshot; `feature_repo.mart` writes them.
A view's module may import: Polars, the standard library, `motherlode.names`; so it runs where only cuDF is installed.
Must not import: Feast, Ray, RAPIDS; and a view's module nothing that reads or writes.
"""
