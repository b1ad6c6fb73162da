"""A company's mapping: YAML → checked structs → Polars expressions.

Enters: `motherlode.yaml`. Leaves: a `Project`, and for each table the expressions that make its canonical columns.
May import: the contract, the ground floor, Polars, msgspec, PyYAML; sqlglot for SQL.
Must not import: sources, state, or anything that reads the company's files.
"""
