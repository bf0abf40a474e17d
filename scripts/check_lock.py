"""Gate: requirements.lock pins and hashes all that pyproject.toml asks for, and names no host."""

from __future__ import annotations

import re
import sys
import tomllib
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.tracked import ROOT, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==(?P<version>\S+)")
_HASH: Final = re.compile(r"^ {4}--hash=sha256:[0-9a-f]{64}(?: \\)?$")
_VIA: Final = re.compile(r"^ {4}# +[\w ,.()-]+$")


def pins_of(lock: str) -> dict[str, str]:
    """Return name → version of every pin."""
    found = (_PIN.match(line) for line in lock.splitlines())
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found if pin}


def form_findings(lock: str) -> Iterator[str]:
    """Yield every line that is no pin, hash or plain comment, and every pin without hash."""
    last_pin, hashed = "", True
    for number, line in enumerate(lock.splitlines(), start=1):
        if _PIN.match(line):
            if not hashed:
                yield f"requirements.lock: {last_pin} has no hash"
            last_pin, hashed = line.split("==")[0], False
        elif _HASH.match(line):
            hashed = True
        elif line and not _VIA.match(line):
            yield f"requirements.lock:{number}: neither pin nor hash nor comment: {line.strip()}"
    if not hashed:
        yield f"requirements.lock: {last_pin} has no hash"


def drift_findings(project: Mapping[str, object], pins: Mapping[str, str]) -> Iterator[str]:
    """Yield each requirement of pyproject.toml that the lock does not satisfy."""
    for text in _requirements(project):
        requirement = Requirement(text)
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"requirements.lock: {requirement.name} is missing; run `make lock`"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"requirements.lock: {requirement} is not met by {version}; run `make lock`"


def _requirements(project: Mapping[str, object]) -> list[str]:
    table = project["project"]
    if not isinstance(table, dict):
        return []
    extras = table.get("optional-dependencies", {})
    return [*table["dependencies"], *(text for extra in extras.values() for text in extra)]


def main() -> int:
    """Check the lock's form, then that it still fits pyproject.toml."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return report("lock", [*form_findings(lock), *drift_findings(project, pins_of(lock))])


if __name__ == "__main__":
    sys.exit(main())
