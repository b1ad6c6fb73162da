"""A proposal for `motherlode.yaml`, from names, types and values of a company's files.

Enters: files. Leaves: text, a valid mapping whose comments state the evidence and where a person must decide.
May import: the warehouse's contract, mapping and sources; Polars. Must not: load anything into a home folder.
"""
