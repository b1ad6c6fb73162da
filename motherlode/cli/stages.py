"""What a person sees of a long job: each stage's progress bar and its time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

Advance = Callable[[str], None]
"""Called with what was just finished; moves the bar by one step."""
Flow = Callable[[str, int, int], None]
"""Called with what is being done, how many rows of it are done, and of how many."""


@dataclass
class Stages:
    """Runs a job's stages and keeps their times.

    Attributes:
        console: where the bars are drawn.
        seconds: wall seconds by stage title, in the order they ran.
    """

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, title: str, steps: int) -> Iterator[Advance]:
        """Show a bar of `steps` steps for the length of the block; a stage that ends early fills its bar."""
        started = time.perf_counter()
        with Progress(*_columns(), console=self.console) as progress:
            task = progress.add_task(title, total=steps, what="")

            def advance(what: str) -> None:
                progress.update(task, advance=1, what=what)

            yield advance
            progress.update(task, completed=steps, what="")
        self.seconds[title] = time.perf_counter() - started

    @contextmanager
    def flow(self, title: str) -> Iterator[Flow]:
        """Show a bar of rows for the length of the block: what is being done, how far it is, and of how many."""
        started = time.perf_counter()
        with Progress(*_columns(), console=self.console) as progress:
            task = progress.add_task(title, total=None, what="")

            def flow(what: str, done: int, total: int) -> None:
                progress.update(task, completed=done, total=total, what=escape(what))

            yield flow
            progress.update(task, completed=1, total=1, what="")
        self.seconds[title] = time.perf_counter() - started

    @contextmanager
    def bars(self, title: str, what: str) -> Iterator[Flow]:
        """Show a bar for each of several things that are done at once, such as views; a line each where no bar can be.

        Args:
            title: of the stage, whose time is kept.
            what: what is counted.
        """
        started = time.perf_counter()
        tasks: dict[str, TaskID] = {}
        adding = Lock()
        with Progress(*_columns(), console=self.console, disable=not self.console.is_terminal) as progress:

            def flow(name: str, done: int, total: int) -> None:
                with adding:
                    if name not in tasks:
                        tasks[name] = progress.add_task(escape(name), total=total, what="")
                progress.update(tasks[name], completed=done, total=total, what=f"{done:,} {what}")
                if done == total and not self.console.is_terminal:
                    self.console.print(f"{name}: {total:,} {what}", highlight=False, markup=False)

            yield flow
        self.seconds[title] = time.perf_counter() - started


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[what]}"),
    )
