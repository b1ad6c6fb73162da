"""Files behind a URL: object stores by PyArrow's file systems, HTTP by the standard library."""

import fnmatch
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from glob import has_magic
from typing import IO, Final

import pyarrow as pa
from pyarrow import fs

from feature_repo.warehouse.sources.content import MissingError
from motherlode.errors import DataError

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_WEB: Final = ("http", "https")
_ALIASES: Final = {"az": "abfs", "azure": "abfs", "s3a": "s3"}
_TIMEOUT_S: Final = 60
_ACCESS: Final = "Check the path, the network, and the store's credentials in the environment."


@dataclass(frozen=True)
class Entry:
    """A file behind a URL.

    Attributes:
        uri: its URL; it may hold a secret.
        size: bytes; 0 where the server does not tell.
        modified: UTC; None where the server does not tell.
    """

    uri: str = field(repr=False)
    size: int = 0
    modified: datetime | None = None


def is_url(path: str) -> bool:
    """Whether a path is a URL."""
    return _URL.match(path) is not None


def is_glob(uri: str) -> bool:
    """Whether a URL stands for what matches it; the web has no globs."""
    return _scheme(uri) not in _WEB and has_magic(_parts(uri).path)


def shown(uri: str) -> str:
    """A URL without what may be secret: user, password, query."""
    if not is_url(uri):
        return uri
    parts = urllib.parse.urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def entries(uri: str, source_name: str) -> list[Entry]:
    """The files that a URL names; its path may be a glob.

    Raises:
        MissingError: nothing is there.
        DataError: the store cannot be reached.
    """
    found = [_head(uri)] if _scheme(uri) in _WEB else _listed(uri)
    if not found:
        raise MissingError(f"The source {source_name} names {shown(uri)}, and nothing is there.", _ACCESS)
    return found


def chunks(uri: str, size: int) -> Iterator[bytes]:
    """The bytes of a file behind a URL.

    Raises:
        DataError: it cannot be reached, or the connection breaks.
    """
    try:
        with _open(uri) as file:
            while chunk := file.read(size):
                yield chunk
    except (OSError, http.client.HTTPException, pa.ArrowException) as error:
        raise _unreachable(uri, error) from None


def _open(uri: str) -> IO[bytes]:
    if _scheme(uri) in _WEB:
        answer: IO[bytes] = urllib.request.urlopen(uri, timeout=_TIMEOUT_S)
        return answer
    parts = _parts(uri)
    store, root = _store(parts)
    stream: IO[bytes] = store.open_input_stream(root + parts.path)
    return stream


def _scheme(uri: str) -> str:
    return uri.partition("://")[0].lower()


@dataclass(frozen=True)
class _Parts:
    """A URL of an object store.

    Attributes:
        start: scheme and bucket.
        path: from the slash on, plain; perhaps a glob.
        query: the store's options, with its question mark; or nothing.
    """

    start: str
    path: str
    query: str

    def uri(self, path: str) -> str:
        """The URL of another path in the same store."""
        return f"{self.start}{urllib.parse.quote(path)}{self.query}"


def _parts(uri: str) -> _Parts:
    """A URL's parts; a question mark is a glob's, unless options follow."""
    scheme, _, rest = uri.partition("://")
    bucket, slash, path = rest.partition("/")
    plain, mark, options = path.rpartition("?")
    path, query = (plain, mark + options) if mark and "=" in options else (path, "")
    scheme = _ALIASES.get(scheme.lower(), scheme.lower())
    return _Parts(f"{scheme}://{bucket}", slash + urllib.parse.unquote(path), query)


def _store(parts: _Parts) -> tuple[fs.FileSystem, str]:
    """The object store, and what stands before a path in it."""
    uri = f"{parts.start}/{parts.query}"
    try:
        store, root = fs.FileSystem.from_uri(uri)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreachable(uri, error) from None
    return store, root.rstrip("/")


def _listed(uri: str) -> list[Entry]:
    parts = _parts(uri)
    store, root = _store(parts)
    try:
        if not has_magic(parts.path):
            infos = [store.get_file_info(root + parts.path)]
        else:
            fixed = root + re.split(r"[*?[]", parts.path)[0].rpartition("/")[0]
            selector = fs.FileSelector(fixed or "/", allow_not_found=True, recursive=True)
            matching = _pattern(parts.path)
            infos = [each for each in store.get_file_info(selector) if matching.fullmatch(each.path[len(root) :])]
    except (OSError, pa.ArrowException) as error:
        raise _unreachable(uri, error) from None
    files = sorted((each for each in infos if each.type == fs.FileType.File), key=lambda each: each.path)
    return [Entry(parts.uri(each.path[len(root) :]), each.size or 0, _utc(each.mtime)) for each in files]


def _pattern(path: str) -> re.Pattern[str]:
    """A glob as a pattern: `*` stays within a folder, `**` goes through any."""
    parts = [
        "(?:[^/]+/)*"
        if part == "**/"
        else ".*"
        if part == "**"
        else fnmatch.translate(part)[4:-3].replace(".*", "[^/]*")
        for part in re.split(r"(\*\*/|\*\*)", path)
        if part
    ]
    return re.compile("".join(parts))


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC)


def _head(uri: str) -> Entry:
    request = urllib.request.Request(uri, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            length, changed = answer.headers.get("Content-Length"), answer.headers.get("Last-Modified")
            return Entry(uri, int(length or 0), _utc(parsedate_to_datetime(changed)) if changed else None)
    except urllib.error.HTTPError as error:
        if error.code in (403, 405, 501):  # a signed URL is often good for GET alone
            return Entry(uri)
        raise _unreachable(uri, error) from None
    except OSError as error:
        raise _unreachable(uri, error) from None


def _unreachable(uri: str, error: Exception) -> DataError:
    text = str(error).replace(uri, shown(uri))
    secret = urllib.parse.urlsplit(uri).password
    return DataError(f"{shown(uri)} cannot be read: {text.replace(secret, '…') if secret else text}.", _ACCESS)
