"""Files beside an output: removed when their process is dead, and only then."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from jobu_core.pipeline.temporary import beside

if TYPE_CHECKING:
    from pathlib import Path

_KILLED = """
import os, signal, sys
from pathlib import Path
from jobu_core.pipeline.temporary import beside
with beside(Path(sys.argv[1])) as own:
    own.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(path: Path) -> None:
    """Let a process die while it writes ``path``."""
    subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, hidden files too."""
    return sorted(each.name for each in folder.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """Also when the name is as long as a name may be; other outputs' files stay."""
    path, other = tmp_path / ("x" * 250), tmp_path / "other"
    kill_a_writer(path)
    kill_a_writer(other)
    assert len(names(tmp_path)) == 2
    with beside(path) as own:
        assert len(names(tmp_path)) == 2
        own.write_text("whole")
        own.replace(path)
    (left, written) = names(tmp_path)
    assert (left.startswith(".jobu-"), written) == (True, path.name)


def test_what_somebody_is_writing_stays(tmp_path: Path) -> None:
    """Two writers of one output each have a file of their own; the last rename wins."""
    path = tmp_path / "x"
    with beside(path) as first:
        first.write_text("first")
        with beside(path) as second:
            second.write_text("second")
            assert first.read_text() == "first"
            second.replace(path)
        first.replace(path)
    assert names(tmp_path) == ["x"]
    assert path.read_text() == "first"
