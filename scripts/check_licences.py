"""Gate: everything in the lock may be used, and docs/licences.md says under what.

``--write`` renews the page. Permissive licences, MPL and LGPL are accepted: jobu
uses these libraries unchanged and as separate packages.
"""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING, Final

from scripts.check_lock import pins_of
from scripts.tracked import ROOT, report

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE: Final = ROOT / "docs" / "licences.md"

_NAMES: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD-derived (http://www.repoze.org/LICENSE.txt)": "BSD-derived",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: BSD License": "BSD",
    "OSI Approved :: GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "OSI Approved :: ISC License (ISCL)": "ISC",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
"""How packages without an SPDX expression spell it → one name."""

ACCEPTED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-derived",
        "CC0-1.0",
        "ISC",
        "LGPL",
        "LGPL-3.0-only",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
        "Zlib",
    },
)


def licence_of(package: metadata.PackageMetadata) -> str:
    """Return the licence of an installed package, as SPDX where it can be told."""
    if "License-Expression" in package:
        return package["License-Expression"]
    classifiers = [
        text.removeprefix("License :: ")
        for text in package.get_all("Classifier") or []
        if text.startswith("License :: ") and text not in _SAYS_NOTHING
    ]
    if classifiers:
        return " AND ".join(_NAMES.get(text, text) for text in sorted(classifiers))
    stated: list[str] = package.get_all("License") or ["unknown"]
    first_line = stated[0].strip().splitlines()[0]
    return _NAMES.get(first_line, first_line)


_SAYS_NOTHING: Final = frozenset({"License :: OSI Approved", "License :: DFSG approved"})


def is_accepted(licence: str) -> bool:
    """Tell whether a licence may be used: each AND part, one of its OR parts."""
    return all(
        any(choice in ACCEPTED for choice in part.strip("()").split(" OR "))
        for part in licence.split(" AND ")
    )


def page_of(licences: Mapping[str, str], pins: Mapping[str, str]) -> str:
    """Return docs/licences.md for what the lock pins."""
    rows = [f"| {name} | {pins[name]} | {licence} |" for name, licence in licences.items()]
    return "\n".join(
        [
            "# Licences of what jobu installs",
            "",
            "Written by `make licences` from the installed packages of requirements.lock;",
            "`make lint` fails when it is out of date or a licence is not accepted.",
            "",
            "| package | version | licence |",
            "|---|---|---|",
            *rows,
            "",
        ],
    )


def main() -> int:
    """Check the licences and the page, or write the page."""
    pins = pins_of((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    licences, findings = {}, []
    for name in sorted(pins):
        try:
            licences[name] = licence_of(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            findings.append(f"{name}: in the lock but not installed")
            continue
        if not is_accepted(licences[name]):
            findings.append(f"{name}: licence {licences[name]!r} is not accepted")
    page = page_of(licences, pins)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        findings.append("docs/licences.md: out of date; run `make licences`")
    return report("licences", findings)


if __name__ == "__main__":
    sys.exit(main())
