"""Known vulnerabilities of the locked libraries, by pip-audit: `make audit`.

pip-audit asks the package index, and where that tells nothing OSV (api.osv.dev). Where the index knows no
vulnerabilities, as a mirror does not, or cannot be reached, pip-audit skips what it was asked for and still ends well.
So a version that is known to be vulnerable is asked for first: where even that is not found, nothing was audited, and
this says so and ends with 3, not with 0. Advisories are not kept here: a copy would be out of date on the day after.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CANARY = "jinja2==3.1.0"
"""Several vulnerabilities of it are known since 2024."""
NOT_AUDITED = 3
SERVICES = (("--vulnerability-service", "pypi"), ("--vulnerability-service", "osv"))
"""Who is asked, one after the other."""
_LOCAL = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;+]+)")


@dataclass(frozen=True)
class Audit:
    """What pip-audit said.

    Attributes:
        found: "name version: ids", one a vulnerable library.
        skipped: libraries that the index knows nothing of.
        checked: how many it knew.
    """

    found: tuple[str, ...]
    skipped: tuple[str, ...]
    checked: int


def pins(text: str) -> list[str]:
    """The `name==version` lines of a constraints file, without local suffixes and markers."""
    matches = (_LOCAL.match(line) for line in text.splitlines())
    return [f"{match['name']}=={match['version']}" for match in matches if match]


def parsed(content: str) -> Audit:
    """What pip-audit's JSON says.

    Raises:
        ValueError: it is none: pip-audit could not ask.
    """
    listed: Any = json.loads(content)["dependencies"]
    checked = [each for each in listed if "skip_reason" not in each]
    found = (
        f"{each['name']} {each['version']}: {', '.join(vuln['id'] for vuln in each['vulns'])}"
        for each in checked
        if each["vulns"]
    )
    return Audit(tuple(found), tuple(each["name"] for each in listed if "skip_reason" in each), len(checked))


def ask(lines: Iterable[str], options: Sequence[str] = ()) -> Audit:
    """Ask the index about versions.

    Raises:
        ValueError: it could not be asked.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines))
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "-r", file.name, "--disable-pip", "--no-deps", "--format", "json"]
        ran = subprocess.run(
            [*command, "--progress-spinner", "off", *options], capture_output=True, text=True, timeout=900
        )
    return parsed(ran.stdout)


def knows(options: Sequence[str]) -> bool:
    """Whether a service tells of a version that is vulnerable that it is."""
    try:
        return bool(ask([CANARY], options).found)
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return False


def main(options: Sequence[str]) -> int:
    """Audit constraints.txt; returns 0 where nothing is known, 1 where something is, 3 where nothing was audited.

    Args:
        options: of pip-audit; they may name another service than those of `SERVICES`.
    """
    asked = next((given for each in SERVICES if knows(given := (*each, *options))), None)
    if asked is None:
        print(f"NOT AUDITED: neither the package index nor OSV tells anything of {CANARY}, which is vulnerable: they")
        print("cannot be reached, or are mirrors without vulnerabilities. Nothing is known of the locked libraries.")
        print("Run `make audit` where one of them can be reached.")
        return NOT_AUDITED
    audit = ask(pins((ROOT / "constraints.txt").read_text()), asked)
    for each in audit.found:
        print(f"VULNERABLE: {each}")
    if audit.skipped:
        print(f"Unknown to the index, not audited: {', '.join(audit.skipped)}.")
    print(f"{audit.checked} libraries audited, {len(audit.found)} vulnerable.")
    return 1 if audit.found or not audit.checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
