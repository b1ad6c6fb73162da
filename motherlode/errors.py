"""Errors that name the thing, its value and the remedy."""


class MotherlodeError(Exception):
    """Base of every error that a user of Motherlode may see.

    Args:
        problem: what is wrong, naming the thing and its value.
        remedy: what the reader can do about it; one sentence, may be empty.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())


class SettingsError(MotherlodeError):
    """A setting has a value that cannot be used."""


class DeviceError(MotherlodeError):
    """The requested device is not there."""


class DataError(MotherlodeError):
    """A table, file or column is not what its contract says."""


class SchemaError(MotherlodeError):
    """A packed row's schema does not hold what a reader asks for."""


class BundleError(MotherlodeError):
    """A model bundle is missing, damaged, or answers differently from its training."""


class StoreError(MotherlodeError):
    """The feature store cannot do what was asked."""


class PortInUseError(MotherlodeError):
    """The port to serve on is held by another process."""


class ServingError(MotherlodeError):
    """The server does not start, or ended by itself."""
