"""Which calls and attributes of a module's functions were reached, instruction by instruction.

A line that ran says little about the calls on it, and a call that was never reached was never checked.
"""

import ast
import dis
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final

_COUNTED: Final = ("CALL", "CALL_FUNCTION_EX", "LOAD_ATTR", "LOAD_METHOD")

Reached = set[tuple[CodeType, int]]
"""A code object and an instruction's offset in it."""


@contextmanager
def reached(module: ModuleType) -> Iterator[Reached]:
    """Every instruction of the module's file that is executed within the block."""
    found: Reached = set()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename != module.__file__:
            return None
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            found.add((frame.f_code, frame.f_lasti))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield found
    finally:
        sys.settrace(before)


def not_reached(module: ModuleType, found: Reached) -> list[str]:
    """The calls and attributes of the module's functions that are not among the reached, as "line: text"."""
    lines = Path(str(module.__file__)).read_text().splitlines()
    missing = {
        instruction.positions
        for code in _codes(module)
        for instruction in dis.get_instructions(code)
        if instruction.opname in _COUNTED and instruction.positions and (code, instruction.offset) not in found
    }
    ordered = sorted(missing, key=lambda each: (each.lineno or 0, each.col_offset or 0, each.end_col_offset or 0))
    return [_text(lines, where) for where in ordered]


def _codes(module: ModuleType) -> Iterator[CodeType]:
    """The code of every function that the module defines, and of what is defined in it."""
    pending = [
        value.__code__
        for value in vars(module).values()
        if isinstance(value, FunctionType) and value.__code__.co_filename == module.__file__
    ]
    while pending:
        code = pending.pop()
        yield code
        pending += [each for each in code.co_consts if isinstance(each, CodeType)]


def _text(lines: list[str], where: dis.Positions) -> str:
    number = where.lineno or 1
    end = where.end_col_offset if where.lineno == where.end_lineno else None
    return f"line {number}: {lines[number - 1][where.col_offset : end].strip()}"


def functions(module: ModuleType) -> list[str]:
    """The names of the module's own public functions, in their order."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    return [each.name for each in tree.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
