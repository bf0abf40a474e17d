"""Files that executions left behind go with age; those of unfinished ones never."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import pytest

from jobu_core.pipeline.temporary import beside
from tests.prune_bench import PruneBench

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

DAY: Final = 86_400.0
TEMPORARY: Final = f".jobu-{'0123456789abcdef'}-{'0123456789abcdef' * 2}.tmp"
CORRECTED: Final = f"7-{'0123456789abcdef' * 2}.reload"


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> PruneBench:
    """Return an empty store and an empty project."""
    (tmp_path / "data").mkdir()
    return PruneBench(engine, tmp_path)


def aged(path: Path, days: float) -> Path:
    """Make a file or folder, or change one, so that it is so old."""
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    else:
        path.mkdir(parents=True, exist_ok=True)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def work(bench: PruneBench, execution: int, days: float = 0) -> Path:
    """Leave a folder with a file of the first attempt."""
    folder = bench.root / ".jobu" / "work" / str(execution)
    aged(folder / "1" / "valid.parquet", days)
    aged(folder / "1", days)
    return aged(folder, days)


def test_the_folder_of_what_failed_stays_for_a_week(bench: PruneBench) -> None:
    """By the end of the execution, not by the age of the files."""
    old = work(bench, bench.ended(days=8, status="FAILED"))
    young = work(bench, bench.ended(days=6, status="FAILED"), days=40)
    assert bench.prune(dry_run=True).work_folders == 1
    assert old.exists()
    assert bench.prune().work_folders == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_the_folder_of_an_unfinished_execution_stays(bench: PruneBench) -> None:
    """Also of one that ended long ago, while a retry of it may read its stages."""
    running = work(bench, bench.jobs.running().id, days=400)
    ended = bench.ended(days=40, status="FAILED")
    first = work(bench, ended, days=400)
    bench.jobs.add(root_execution_id=ended)
    assert bench.prune().work_folders == 0
    assert running.exists()
    assert first.exists()


def test_a_folder_without_a_row_goes_by_its_own_age(bench: PruneBench) -> None:
    """Rows may be pruned before files, by another setting."""
    old, young = work(bench, 4711, days=8), work(bench, 4712, days=6)
    assert bench.prune().work_folders == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_only_names_of_executions_are_looked_at_and_no_link_is_followed(
    bench: PruneBench, tmp_path: Path
) -> None:
    """What a person put there, or what a link leads to, is not jobu's."""
    outside = aged(tmp_path / "outside", 40)
    aged(outside / "precious.txt", 40)
    folder = bench.root / ".jobu" / "work"
    notes = aged(folder / "notes", 40)
    (folder / "77").symlink_to(outside)
    inside = work(bench, 78, days=40)
    (inside / "1" / "link").symlink_to(outside)
    (inside / "2").symlink_to(outside)
    aged(inside / "1", 40)
    aged(inside, 40)
    assert bench.prune().work_folders == 1
    assert (outside / "precious.txt").exists()
    assert notes.exists()
    assert not inside.exists()


def test_what_a_prune_set_aside_before_it_died_is_removed(bench: PruneBench) -> None:
    """The folder had been decided on; nobody finds it under its name."""
    left = aged(bench.root / ".jobu" / "work" / ".pruned-7-0123", 0)
    assert bench.prune(dry_run=True).work_folders == 0
    assert left.exists()
    bench.prune()
    assert not left.exists()


def test_half_written_outputs_of_yesterday_go(bench: PruneBench, tmp_path: Path) -> None:
    """In any folder of the data roots; a young one may still be written."""
    data = bench.root / "data"
    old = aged(data / "a" / "b" / TEMPORARY, 2)
    young = aged(data / TEMPORARY, 0.5)
    outside = aged(tmp_path / "elsewhere" / TEMPORARY, 2)
    others = [aged(data / name, 2) for name in ("rows.tmp", ".jobu-x.tmp", f"x{TEMPORARY}")]
    (data / "link").symlink_to(outside.parent)
    linked = data / f".jobu-{'f' * 16}-{'f' * 32}.tmp"
    linked.symlink_to(others[0])
    os.utime(linked, (0, 0), follow_symlinks=False)
    assert bench.prune(dry_run=True).temporary_files == 1
    assert bench.prune().temporary_files == 1
    assert not old.exists()
    assert all(each.exists() for each in (young, outside, linked, *others))


def test_an_output_that_is_being_written_stays_whatever_its_age(bench: PruneBench) -> None:
    """A process that waits for a day holds its lock; what a dead one left goes."""
    output = bench.root / "data" / "rows.parquet"
    with beside(output) as own:
        aged(own, 400)
        assert bench.prune(dry_run=True).temporary_files == 0
        assert bench.prune().temporary_files == 0
        assert own.exists()
    aged(own, 400)  # as its writer would have left it, had it been killed
    assert bench.prune().temporary_files == 1
    assert not own.exists()


def test_corrected_rejects_go_once_no_execution_reads_them(bench: PruneBench) -> None:
    """A retry reads the file again, for as long as the execution is known."""
    folder = bench.root / "data" / "raw" / ".jobu-reloads"
    needed = aged(folder / CORRECTED, 2)
    unneeded = aged(folder / CORRECTED.replace("7-", "8-"), 2)
    half = aged(folder / f".{'0123456789abcdef' * 2}.new", 2)
    elsewhere = aged(bench.root / "data" / CORRECTED, 2)
    other = aged(folder / "mine.csv", 2)
    reader = bench.ended(days=3, params={"input_path": f"/data/raw/.jobu-reloads/{CORRECTED}"})
    assert bench.prune(dry_run=True).reload_files == 2
    assert bench.prune().reload_files == 2
    assert not unneeded.exists()
    assert not half.exists()
    assert all(each.exists() for each in (needed, elsewhere, other))
    bench.run("DELETE FROM job_executions WHERE id = :id", id=reader)
    assert bench.prune().reload_files == 1
    assert not needed.exists()


def test_a_project_without_data_or_work_has_nothing_to_sweep(bench: PruneBench) -> None:
    """A data root that is not mounted here is no error."""
    (bench.root / "data").rmdir()
    assert bench.prune().temporary_files == 0
