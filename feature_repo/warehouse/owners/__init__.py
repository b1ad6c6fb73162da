"""Whose a raw row is, and raw files without somebody's rows.

`ways` says how the rows of a source tell whose they are, `sought` who is looked for, `trace` finds every row of theirs,
`rewrite` writes a file without them, `sift` keeps them out of what is landed after.
"""
