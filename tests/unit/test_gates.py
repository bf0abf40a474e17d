"""Each gate of scripts/ finds what it is there for, and lets the rest pass."""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, cast

import pytest

from scripts.check_boundaries import findings_in as boundary_findings
from scripts.check_files import MAX_LINES
from scripts.check_files import findings_in as file_findings
from scripts.check_licences import is_accepted, licence_of
from scripts.check_lock import drift_findings, form_findings, pins_of

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

HASH = "    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("jobu_core/long.py", "x = 1\n" * (MAX_LINES + 1)),
        ("README.md", "look into /t" + "mp/out\n"),
        ("README.md", "pip install --extra-ind" + "ex-url somewhere\n"),
        ("jobu_core/a.py", "# TO" + "DO later\n"),
        ("jobu_core/a.py", "raise NotImplemented" + "Error\n"),
        ("jobu_core/a.py", "x = y  # no" + "qa: F821\n"),
        ("jobu_core/a.py", "x = y  # no" + "qa\n"),
        ("jobu_core/a.py", "x = y  # type: ign" + "ore\n"),
        ("tests/unit/test_a.py", "time.sl" + "eep(1)\n"),
        ("tests/unit/test_a.py", "@pytest.mark.sk" + "ip\ndef test_a(): ...\n"),
    ],
)
def test_a_fault_in_a_file_is_found(path: str, text: str) -> None:
    """Every rule of the file gate fires once on its example."""
    assert len(list(file_findings(path, text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("jobu_core/full.py", "x = 1\n" * MAX_LINES),
        ("jobu_core/a.py", "x = y  # no" + "qa: S608, F821 - constants only\n"),
        ("jobu_core/a.py", "x = y  # type: ign" + "ore[arg-type]\n"),
        ("jobu_core/clock.py", "time.sl" + "eep(seconds)\n"),
        ("README.md", "the path /data/raw/sample.csv of a message\n"),
        ("tests/unit/test_a.py", "SLOW = 'import time; time.sl" + "eep(600)'\n"),
    ],
)
def test_a_file_in_order_passes(path: str, text: str) -> None:
    """Reasons, codes and logical paths are what the rules ask for."""
    assert list(file_findings(path, text)) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("jobu_dagster/jobs.py", "from dagster._core.instance import DagsterInstance"),
        ("jobu_dagster/jobs.py", "import dagster._core.launcher"),
        ("jobu_dagster/jobs.py", "from dagster import _check"),
        ("jobu_dagster/jobs.py", "from dagster_postgres._utils import pg"),
        ("jobu_core/execution/run.py", "import psycopg"),
        ("jobu_core/execution/run.py", "from psycopg import sql"),
        ("jobu_admin/cli/cron.py", "import sqlalchemy as sa\nsa.text('SELECT 1')"),
        ("jobu_admin/cli/cron.py", "from sqlalchemy import select"),
        ("jobu_core/execution/run.py", "from datetime import datetime\ndatetime.now(UTC)"),
        ("jobu_core/execution/run.py", "import time\ntime.time()"),
    ],
)
def test_a_crossed_border_is_found(path: str, source: str) -> None:
    """Private Dagster, SQL and the wall clock are fenced in."""
    assert len(list(boundary_findings(path, source))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("jobu_dagster/private.py", "from dagster._core.instance import DagsterInstance"),
        ("jobu_dagster/jobs.py", "from dagster import job"),
        ("jobu_core/store/launches.py", "import sqlalchemy as sa\nsa.text('SELECT 1')"),
        ("jobu_core/pipeline/load/swap.py", "import psycopg"),
        ("jobu_core/execution/run.py", "import sqlalchemy as sa\ndef f(c: sa.Connection): ..."),
        ("jobu_core/execution/run.py", "import time\ntime.monotonic()"),
        ("jobu_admin/cli/cron.py", "widget.update()"),
    ],
)
def test_what_keeps_to_its_side_passes(path: str, source: str) -> None:
    """The owners of a border may cross it; a name that looks alike is no offence."""
    assert list(boundary_findings(path, source)) == []


@pytest.mark.parametrize(
    "lock",
    [
        "--ind" + f"ex-url https://host.example\nruff==1.0 \\\n{HASH}\n",
        f"ruff @ https://host.example/ruff.whl \\\n{HASH}\n",
        f"ruff==1.0 \\\n{HASH}\n    # via -r /srv/requirements.in\n",
        "ruff==1.0\n",
        f"ruff==1.0\nmypy==2.0 \\\n{HASH}\n",
    ],
)
def test_a_lock_with_a_host_or_without_a_hash_is_found(lock: str) -> None:
    """Only pins, their hashes and comments about packages stand in the lock."""
    assert list(form_findings(lock)) != []


def test_a_lock_in_order_passes() -> None:
    """Two pins with several hashes and a comment are fine."""
    lock = (
        f"ruff==1.0 \\\n{HASH} \\\n{HASH}\n    # via jobu (pyproject.toml)\nmypy==2.0 \\\n{HASH}\n"
    )
    assert list(form_findings(lock)) == []
    assert pins_of(lock) == {"ruff": "1.0", "mypy": "2.0"}


def test_a_lock_that_fell_behind_is_found() -> None:
    """A requirement that is missing or not met names itself; extras count."""
    project = {
        "project": {
            "dependencies": ["sqlalchemy>=2.0,<2.1", "rich"],
            "optional-dependencies": {"dev": ["Ruff>=2"]},
        },
    }
    findings = list(drift_findings(project, {"sqlalchemy": "2.1.0", "ruff": "2.3"}))
    assert len(findings) == 2
    assert "sqlalchemy" in findings[0]
    assert "rich is missing" in findings[1]


def package(**headers: str) -> PackageMetadata:
    """Return metadata with the given headers."""
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return cast("PackageMetadata", message)


def test_a_licence_is_read_from_wherever_it_stands() -> None:
    """Expression before classifier before free text; absence is said."""
    mit = "License :: OSI Approved :: MIT License"
    assert licence_of(package(License_Expression="Apache-2.0", Classifier=mit)) == "Apache-2.0"
    assert licence_of(package(Classifier=mit, License="whatever")) == "MIT"
    assert licence_of(package(License="3-Clause BSD License\n\nlong text")) == "BSD-3-Clause"
    assert licence_of(package()) == "unknown"


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND PSF-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("unknown", False),
    ],
)
def test_copyleft_and_unknown_licences_are_refused(licence: str, accepted: bool) -> None:
    """One acceptable choice of OR is enough; of AND every part must be."""
    assert is_accepted(licence) is accepted
