"""`make lock`: write constraints.txt, one lock for the CPU and the GPU.

Asks pip to resolve the project twice against the public index, once for each device, without installing
anything, and merges the two answers. The GPU comes first, its stack is the demanding one, and the CPU is
resolved under its versions, so that both run the same libraries; where that cannot be, nothing is written.
Needs the standard library alone.

    python3.11 scripts/lock.py                          everything at its newest version
    python3.11 scripts/lock.py --keep constraints.txt   what is locked stays; only what is new is looked for
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "constraints.txt"
BUILD: Final = "hatchling"
DEVICES: Final = (".[gpu,warehouse,train,client,tracing,demo,dev]", ".[cpu,warehouse,train,client,tracing,demo,dev]")
TWINS: Final = ("onnxruntime", "onnxruntime-gpu")
"""One library in two distributions: both devices must answer with the same version."""

HEADER: Final = """\
# The exact versions of every library, for the CPU and the GPU: Linux on x86-64, Python 3.11.
# Written by `make lock` (scripts/lock.py); docs/decisions/0013-one-lock-for-two-devices.md says how and why.
# No local suffix: torch==2.13.0 is met by the CPU build (2.13.0+cpu) and by the CUDA build alike.
"""

Versions = Mapping[str, str]


class LockError(Exception):
    """The lock cannot be written, and why."""


def main() -> int:
    """Exit status: 0 where the lock was written."""
    arguments = argparse.ArgumentParser(description="Write constraints.txt for both devices.")
    arguments.add_argument("--keep", type=Path, metavar="FILE", help="versions that stay, as name==version lines")
    given = arguments.parse_args()
    try:
        kept = read(given.keep.read_text()) if given.keep else {}
        LOCK.write_text(write(resolve_all(kept)))
    except (LockError, OSError) as error:
        print(f"lock: {error}", file=sys.stderr)
        return 1
    print(f"{LOCK.name}: {len(read(LOCK.read_text()))} versions")
    return 0


def resolve_all(kept: Versions) -> Versions:
    """Every version that either device needs.

    Raises:
        LockError: a device cannot be resolved, or the devices disagree.
    """
    with tempfile.TemporaryDirectory(prefix="motherlode-lock-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        parts: list[Versions] = []
        for requirement in DEVICES:
            print(f"Resolving {requirement}", flush=True)
            parts.append(resolve(python, (requirement, BUILD), twinned({**kept, **merge(parts)})))
    return merge(parts)


def twinned(bounds: Versions) -> Versions:
    """The same bounds, each twin bound to what the other is bound to."""
    version = next((bounds[name] for name in TWINS if name in bounds), None)
    return bounds if version is None else {**bounds, **dict.fromkeys(TWINS, version)}


def resolve(python: Path, requirements: Iterable[str], bounds: Versions) -> Versions:
    """What pip would install on a bare machine: name → version.

    Args:
        python: of an environment with pip.
        requirements: what to install.
        bounds: versions that it must keep to.

    Raises:
        LockError: there is no such set, with what pip said.
    """
    # This machine's own settings do not count: a local folder of wheels would hide what others get.
    environment = {name: value for name, value in os.environ.items() if not _MACHINES_OWN.match(name)}
    with tempfile.TemporaryDirectory(prefix="motherlode-lock-") as folder:
        constraints, report = Path(folder) / "bounds.txt", Path(folder) / "report.json"
        constraints.write_text(write(bounds))
        command = [str(python), "-m", "pip", "install", "--dry-run", "--ignore-installed", "--report", str(report)]
        done = subprocess.run(
            [*command, "--disable-pip-version-check", "--constraint", str(constraints), *requirements],
            cwd=ROOT,
            env={**environment, "PIP_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-_LINES_OF_PIP:])
            raise LockError(f"{' '.join(requirements)} cannot be resolved:\n{said}")
        return reported(report.read_text())


def reported(report: str) -> Versions:
    """The versions of pip's installation report, without the project itself."""
    installs = [item for item in json.loads(report)["install"] if "dir_info" not in item["download_info"]]
    return {normal(item["metadata"]["name"]): _public(item["metadata"]["version"]) for item in installs}


def merge(parts: Iterable[Versions]) -> dict[str, str]:
    """All versions in one.

    Raises:
        LockError: two parts name different versions of one library, or of the twins, naming all of them.
    """
    merged: dict[str, str] = {}
    quarrels: list[str] = []
    for part in parts:
        for name, version in part.items():
            if merged.setdefault(name, version) != version:
                quarrels.append(f"{name} {merged[name]} or {version}")
    versions = {merged[name] for name in TWINS if name in merged}
    if len(versions) > 1:
        quarrels.append(f"{' and '.join(TWINS)} {' or '.join(sorted(versions))}")
    if quarrels:
        raise LockError(f"The devices disagree: {'; '.join(quarrels)}. Narrow them in pyproject.toml.")
    return merged


def read(text: str) -> dict[str, str]:
    """The versions of a constraints file or a `pip freeze`; other lines, an editable install say, are passed over."""
    pairs = (line.partition("#")[0].strip().partition("==") for line in text.splitlines())
    return {normal(name): _public(version) for name, equal, version in pairs if equal}


def write(versions: Versions) -> str:
    """The text of constraints.txt, sorted by name."""
    return HEADER + "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))


def normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _public(version: str) -> str:
    """A version without its local suffix: 2.13.0+cpu → 2.13.0."""
    return version.strip().partition("+")[0]


_LINES_OF_PIP: Final = 15
_MACHINES_OWN: Final = re.compile(r"PIP_(?!CERT$|DEFAULT_TIMEOUT$|INDEX_URL$|PROXY$)")


if __name__ == "__main__":
    sys.exit(main())
