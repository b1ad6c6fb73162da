"""Clean to integrated: what only several files, or several tables, can tell.

Enters: clean files and what became of their duplicates. Leaves: the integrated tables, their ledgers and quarantine.
May import: the rest of the warehouse but for the pipeline and the quality gate.
Must not import: raw files' readers, except for the columns that people are matched by.
"""
