"""Rows of the layout before generations, `<project>/<view>/{<entity>}`: nobody reads them any more."""

from typing import Any

from motherlode import redis_server


def former_mark(project: str, view: str) -> str:
    """The key by which that layout said that a view had been written as a whole."""
    return f"{project}/@complete/{view}"


def sweep(client: Any, project: str, view: str) -> int:
    """Remove a view's rows of that layout, where its mark says that there are any; the mark goes last.

    Returns:
        How many there were; 0 costs one round trip.
    """
    if not client.exists(former_mark(project, view)):
        return 0
    # Today's rows have a generation between the view and the brace.
    pattern = f"{redis_server.literal(project)}/{redis_server.literal(view)}/{{*"
    gone = sum(redis_server.unlink(client, keys) for keys in redis_server.scan(client, pattern))
    client.unlink(former_mark(project, view))
    return gone
