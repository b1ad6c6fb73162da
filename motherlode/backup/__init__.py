"""Backups of a home: encrypted, content-addressed, kept for a stated time, and restored without those who were erased.

Enters: a home folder, `MOTHERLODE_BACKUP_KEY`. Leaves: a folder of sealed objects and manifests, or a home.
May import the ground floor, and `motherlode.backup.seal` alone `cryptography`; must not import Feast, Polars, Ray or
any room above.
"""
