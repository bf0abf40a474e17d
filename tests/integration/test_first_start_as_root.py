"""A machine that never ran jobu has no user for PostgreSQL yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from jobu_core.services.postgres import SYSTEM_USER

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.config import Settings

_START_SUPERVISORD = """
import os, pwd
from jobu_core.config import load_settings
from jobu_core.services import stack
from jobu_core.services.ensure import running_supervisord
from jobu_core.services.layout import layout_of
settings = load_settings()
layout = layout_of(settings)
with layout.locked():
    print("running", running_supervisord(settings, layout).running())
print("user", pwd.getpwnam("pgserver").pw_name if os.geteuid() == 0 else None)
stack.down(settings, lambda _: None)
"""


def test_supervisord_starts_where_the_servers_user_is_missing(
    embedded: Settings, tmp_path: Path
) -> None:
    """Seen on a new machine: supervisord refused a configuration with an unknown user.

    Whoever is not root needs no such user, and starts as well.
    """
    is_root = os.geteuid() == 0
    before = _in_an_etc_of_its_own(tmp_path / "etc") if is_root else ()
    done = subprocess.run(
        [*before, sys.executable, "-c", _START_SUPERVISORD],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=embedded.root,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["running", "True", "user", SYSTEM_USER if is_root else "None"]


def _in_an_etc_of_its_own(copy: Path) -> tuple[str, ...]:
    """Return what runs a command where /etc is as it was before jobu's first start."""
    swapped = 'mount --bind "$1" /etc && shift && exec "$@"'
    bare = _etc_without_the_user(copy)
    return ("unshare", "--mount", "sh", "-c", swapped, "sh", str(bare))


def _etc_without_the_user(copy: Path) -> Path:
    """Return a copy of /etc as it was before jobu's first start."""
    shutil.copytree("/etc", copy, symlinks=True, ignore_dangling_symlinks=True)
    for name in ("passwd", "shadow", "group", "gshadow"):
        file = copy / name
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text(
            "".join(line for line in lines if not line.startswith(f"{SYSTEM_USER}:")),
            encoding="utf-8",
        )
        (copy / f"{name}-").unlink(missing_ok=True)
    return copy
