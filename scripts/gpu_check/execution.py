"""cuDF without a GPU: a plan goes all the way through Polars and cudf-polars, up to the first kernel.

What stands in is the last step alone, `cudf_polars.callback._callback`, which would execute the translated
plan: it keeps the plan and answers no rows. So the engine's options, Polars' own optimizer and the
translation are the real ones, as `motherlode.compute.gpu.collect` reaches them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import cudf_polars.callback
import polars as pl
from cudf_polars.dsl.traversal import traversal


@contextmanager
def captured() -> Iterator[list[Any]]:
    """The plans (cudf-polars' IR) that would have been executed on the GPU within the block."""
    plans: list[Any] = []

    def keep(plan: Any, *_args: Any, **_options: Any) -> pl.DataFrame:
        plans.append(plan)
        return pl.DataFrame(schema={name: dtype.polars_type for name, dtype in plan.schema.items()})

    with mock.patch.object(cudf_polars.callback, "_callback", keep):
        yield plans


def off_the_gpu(plan: Any) -> list[str]:
    """The kinds of a translated plan's nodes that would call back into Python on the host."""
    return sorted({type(node).__name__ for node in traversal([plan]) if "Python" in type(node).__name__})
