"""Readers of the company's files, tables and databases.

Enters: a source of the mapping. Leaves: what it stands for (`find`); batches of raw rows, and lines that are no row.
May import: the mapping's model, the ground floor, PyArrow, Polars, and each reading library in its own module.
Must not import: `raw`, state, contract rules, or anything that knows what a column means.
"""
