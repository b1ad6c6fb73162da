"""The front door: every command that people type.

Enters: arguments and the environment. Leaves: exit codes, tables, the folders under the home.
May import: every room. Must not be imported by any of them.
"""

from motherlode.cli.main import main

__all__ = ["main"]
