"""Logical paths resolve under the data roots, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobu_core.errors import PathRefused
from jobu_core.pipeline.paths import Paths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a project folder with ``data/raw/a.csv`` and a secret beside ``data``."""
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "a.csv").write_text("id\n1\n")
    (tmp_path / "secret.csv").write_text("id\n1\n")
    return tmp_path


@pytest.fixture
def paths(root: Path) -> Paths:
    """Map one logical root, as in the configuration that is shipped."""
    return Paths({"/data": "./data"}, root)


def test_logical_path_lands_under_its_root(paths: Paths, root: Path) -> None:
    """The known message's path works on a bare machine."""
    assert paths.resolve("/data/raw/a.csv") == root / "data" / "raw" / "a.csv"


def test_file_need_not_exist(paths: Paths, root: Path) -> None:
    """An output can be named before it is written."""
    assert paths.resolve("/data/out/new.parquet") == root / "data" / "out" / "new.parquet"


def test_relative_and_real_paths_are_taken_when_they_lie_inside(paths: Paths, root: Path) -> None:
    """A path below the real folder is the same file."""
    assert paths.resolve("data/raw/a.csv") == paths.resolve("/data/raw/a.csv")
    assert paths.resolve(str(root / "data" / "raw" / "a.csv")) == paths.resolve("/data/raw/a.csv")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "  ",
        "/data/../secret.csv",
        "/data/raw/../raw/a.csv",
        "data/raw/../../secret.csv",
        "/etc/passwd",
        "secret.csv",
        "/database/x.csv",
        "/data/a\0b",
        "/data/" + "x" * 256,
        "/data/" + "x/" * 3000,
        "/data/\ud800",
        "file:///data/raw/a.csv",
        "/",
    ],
)
def test_what_is_outside_is_refused(paths: Paths, asked: str) -> None:
    """Nothing but a path below a root gets through."""
    with pytest.raises(PathRefused):
        paths.resolve(asked)


def test_link_out_of_a_root_is_refused(paths: Paths, root: Path) -> None:
    """Links are followed before the decision, also those of folders."""
    (root / "data" / "link.csv").symlink_to(root / "secret.csv")
    (root / "data" / "folder").symlink_to(root)
    for asked in ("/data/link.csv", "/data/folder/secret.csv"):
        with pytest.raises(PathRefused, match="not under a data root"):
            paths.resolve(asked)


def test_loop_of_links_is_refused(paths: Paths, root: Path) -> None:
    """A loop cannot hang or crash the resolution."""
    (root / "data" / "one").symlink_to(root / "data" / "two")
    (root / "data" / "two").symlink_to(root / "data" / "one")
    with pytest.raises(PathRefused):
        paths.resolve("/data/one/x.csv")


def test_link_inside_a_root_is_followed(paths: Paths, root: Path) -> None:
    """A link to another file of the root is that file."""
    (root / "data" / "latest.csv").symlink_to(root / "data" / "raw" / "a.csv")
    assert paths.resolve("/data/latest.csv") == root / "data" / "raw" / "a.csv"
    assert paths.logical(root / "data" / "latest.csv") == "/data/raw/a.csv"


def test_longest_root_wins(root: Path) -> None:
    """A root below another one has its own folder."""
    (root / "private").mkdir()
    paths = Paths({"/data": "./data", "/data/private": "./private"}, root)
    assert paths.resolve("/data/private/x.csv") == root / "private" / "x.csv"
    assert paths.logical(root / "private" / "x.csv") == "/data/private/x.csv"


def test_an_object_is_no_file_of_this_machine(paths: Paths) -> None:
    """Who asks for a real path cannot have an object's; the message says what it is."""
    with pytest.raises(PathRefused, match="is an object in S3"):
        paths.resolve("s3://bucket/key.csv")


def test_without_buckets_every_object_is_refused(paths: Paths) -> None:
    """The message says where a bucket would be configured."""
    for look in (paths.place, paths.places):
        with pytest.raises(PathRefused, match=r"s3_buckets in handlers\.yaml"):
            look("s3://bucket/key.csv")


def test_logical_is_the_way_back(paths: Paths, root: Path) -> None:
    """Messages show the logical path, never the machine's."""
    assert paths.logical(root / "data" / "raw" / "a.csv") == "/data/raw/a.csv"
    with pytest.raises(PathRefused) as caught:
        paths.logical(root / "secret.csv")
    assert str(root) not in str(caught.value)


def test_pattern_matches_files_sorted(paths: Paths, root: Path) -> None:
    """Folders do not match, and the order does not depend on the disk."""
    for name in ("b_2.csv", "b_1.csv", "c.csv"):
        (root / "data" / "raw" / name).write_text("id\n")
    (root / "data" / "raw" / "b_folder.csv").mkdir()
    found = paths.expand("/data/raw/b_*.csv")
    assert [path.name for path in found] == ["b_1.csv", "b_2.csv"]
    assert paths.expand("/data/raw/none_*.csv") == ()
    assert paths.expand("/data/raw/missing.csv") == ()


def test_file_that_is_called_like_a_pattern_is_itself(paths: Paths, root: Path) -> None:
    """``report[1].csv`` is a usual name for a download."""
    literal = root / "data" / "raw" / "report[1].csv"
    literal.write_text("id\n")
    (root / "data" / "raw" / "report1.csv").write_text("id\n")
    assert paths.expand("/data/raw/report[1].csv") == (literal,)


def test_pattern_cannot_leave_the_roots(paths: Paths, root: Path) -> None:
    """Neither by its fixed part nor by a link that it matches."""
    with pytest.raises(PathRefused):
        paths.expand("/*/passwd")
    with pytest.raises(PathRefused):
        paths.expand("*.csv")
    (root / "data" / "raw" / "z.csv").symlink_to(root / "secret.csv")
    with pytest.raises(PathRefused):
        paths.expand("/data/raw/*.csv")
