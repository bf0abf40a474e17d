"""What every place must do; each test runs for a local file and for an object in S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pytest

from jobu_core.errors import FileError, PathRefused
from jobu_core.pipeline.input_bytes import InputBytes
from jobu_core.pipeline.parquet_writer import open_parquet, write_parquet
from jobu_core.pipeline.paths import Paths
from jobu_core.pipeline.places.place import rejects_of

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.pipeline.places.place import Place
    from tests.fix_s3 import S3

SCHEMA = pa.schema([pa.field("id", pa.int64())])


class World(Protocol):
    """A kind of place, and what others do to it behind jobu's back."""

    paths: Paths

    def text(self, name: str) -> str:
        """Return what params call the file ``name``."""

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""

    def get(self, name: str) -> bytes:
        """Read a file."""

    def names(self) -> list[str]:
        """Return all files."""


@dataclass
class Here:
    """A data root."""

    root: Path

    def __post_init__(self) -> None:
        """Make it."""
        (self.root / "data").mkdir()
        self.paths = Paths({"/data": "data"}, self.root)

    def text(self, name: str) -> str:
        """Return the logical path."""
        return f"/data/{name}"

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""
        path = self.root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get(self, name: str) -> bytes:
        """Read a file."""
        return (self.root / "data" / name).read_bytes()

    def names(self) -> list[str]:
        """Return all files."""
        data = self.root / "data"
        return sorted(str(each.relative_to(data)) for each in data.rglob("*") if each.is_file())


@dataclass
class There:
    """A bucket."""

    s3: S3
    root: Path

    def __post_init__(self) -> None:
        """Allow one folder of it."""
        self.paths = Paths({}, self.root, self.s3.buckets(prefixes=("data/",)))

    def text(self, name: str) -> str:
        """Return the URL."""
        return self.s3.url(f"data/{name}")

    def put(self, name: str, data: bytes) -> None:
        """Write an object."""
        self.s3.put(f"data/{name}", data)

    def get(self, name: str) -> bytes:
        """Read an object."""
        return self.s3.get(f"data/{name}")

    def names(self) -> list[str]:
        """Return all objects."""
        return [each.removeprefix("data/") for each in self.s3.names()]


@pytest.fixture(params=["here", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Return one of the two."""
    root = tmp_path / "root"
    root.mkdir()
    return Here(root) if request.param == "here" else There(request.getfixturevalue("s3"), root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an attempt's folder, not made yet."""
    return tmp_path / "work" / "1"


def read(place: Place, folder: Path) -> bytes:
    """Read as a stage does."""
    with place.opened(folder) as path, InputBytes(path, name=place.name) as source:
        data = source.read()
        source.finish()
    return data


def write(place: Place, folder: Path, rows: int, *, per: int = 1) -> None:
    """Write as a stage does; ``per`` 0 fails half way."""
    with place.draft(folder) as draft:
        with write_parquet(draft, SCHEMA) as output:
            output.write(pa.RecordBatch.from_pylist([{"id": 1}], SCHEMA))
            rest = [{"id": n // per} for n in range(rows - 1)]
            output.write(pa.RecordBatch.from_pylist(rest, SCHEMA))
        place.publish(draft)


def rows_of(place: Place, folder: Path) -> int:
    """Return how many rows the Parquet of a place has."""
    with place.opened(folder) as path, open_parquet(path, place.name) as file:
        rows: int = file.metadata.num_rows
    return rows


def left_in(folder: Path) -> list[Path]:
    """Return what is left of work."""
    return [each for each in folder.rglob("*") if each.is_file()] if folder.exists() else []


def test_a_file_is_lent_with_its_bytes(world: World, folder: Path) -> None:
    """What was put there comes back, byte for byte, and no copy stays."""
    world.put("raw/a.csv", b"id,name\n1,\xed\x95\x9c\n")
    place = world.paths.place(world.text("raw/a.csv"))
    assert place.name == world.text("raw/a.csv")
    assert place.exists()
    assert read(place, folder) == b"id,name\n1,\xed\x95\x9c\n"
    assert left_in(folder) == []


def test_a_lent_file_keeps_its_ending(world: World, folder: Path) -> None:
    """Readers know a format by the name."""
    world.put("raw/a.parquet", b"")
    with world.paths.place(world.text("raw/a.parquet")).opened(folder) as path:
        assert path.name == "a.parquet"


def test_an_empty_file_is_lent_empty(world: World, folder: Path) -> None:
    """No bytes are bytes, too."""
    world.put("raw/a.csv", b"")
    with world.paths.place(world.text("raw/a.csv")).opened(folder) as path:
        assert path.read_bytes() == b""


def test_a_large_file_is_lent_whole(world: World, folder: Path) -> None:
    """More than one range, the last one short, each in its place."""
    data = bytes(range(251)) * 90_000  # 22.6 MB: not a multiple of anything
    world.put("raw/large", data)
    with world.paths.place(world.text("raw/large")).opened(folder) as path:
        assert path.read_bytes() == data


def test_a_missing_file_is_named(world: World, folder: Path) -> None:
    """The error says which one."""
    place = world.paths.place(world.text("raw/none.csv"))
    assert not place.exists()
    with pytest.raises(FileError, match=r"raw/none\.csv: no such"):
        read(place, folder)


def test_a_folder_is_no_file(world: World, folder: Path) -> None:
    """A name that only others begin with is refused."""
    world.put("raw/a.csv", b"1")
    place = world.paths.place(world.text("raw"))
    assert not place.exists()
    with pytest.raises(FileError, match=r"data/raw: "):
        read(place, folder)


def test_what_changes_while_it_is_read_is_never_mixed(world: World, folder: Path) -> None:
    """The reader has one version, or an error; not the head of one and the end of the other."""
    world.put("raw/a.csv", b"id\n" + b"1\n" * 2_000_000)
    place = world.paths.place(world.text("raw/a.csv"))
    told = None
    try:
        with place.opened(folder) as path, InputBytes(path, name=place.name) as source:
            data = source.read(1 << 20)
            world.put("raw/a.csv", b"id\n" + b"2\n" * 1_999_999)
            data += source.read()
            source.finish()
    except FileError as error:
        told = str(error)
    assert told is None or "changed while it was read" in told
    assert told is not None or data == b"id\n" + b"1\n" * 2_000_000


def test_a_file_appears_whole(world: World, folder: Path) -> None:
    """After a write it is there, and nothing else is."""
    place = world.paths.place(world.text("out/a.parquet"))
    write(place, folder, 3)
    assert rows_of(place, folder) == 3
    assert world.names() == ["out/a.parquet"]
    assert left_in(folder) == []


def test_a_file_is_replaced_whole(world: World, folder: Path) -> None:
    """Fewer rows leave nothing of more of them."""
    place = world.paths.place(world.text("out/a.parquet"))
    write(place, folder, 100_000)
    write(place, folder, 2)
    assert rows_of(place, folder) == 2


def test_a_write_that_fails_changes_nothing(world: World, folder: Path) -> None:
    """The old file is there, byte for byte, and no trace of the new one."""
    place = world.paths.place(world.text("out/a.parquet"))
    write(place, folder, 1)
    before = world.get("out/a.parquet")
    with pytest.raises(ZeroDivisionError):
        write(place, folder, 2, per=0)
    assert world.get("out/a.parquet") == before
    assert world.names() == ["out/a.parquet"]
    assert left_in(folder) == []


def test_a_draft_that_was_not_written_is_not_published(world: World, folder: Path) -> None:
    """Nothing cannot become something."""
    place = world.paths.place(world.text("out/a.parquet"))
    with (
        pytest.raises(FileError, match=r"a\.parquet: was not written"),
        place.draft(folder) as draft,
    ):
        place.publish(draft)
    assert world.names() == []


def test_rejects_lie_beside_the_output(world: World) -> None:
    """The same name for either."""
    place = world.paths.place(world.text("out/a.b.parquet"))
    assert rejects_of(place).name == world.text("out/a.b.rejects.parquet")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("raw/*.csv", ["raw/.c.csv", "raw/a b+%20.csv", "raw/a.csv", "raw/x[1].csv", "raw/é.csv"]),
        ("raw/a?b*.csv", ["raw/a b+%20.csv"]),
        ("raw/[ab].csv", ["raw/a.csv"]),
        ("raw/[!b].csv", ["raw/a.csv", "raw/é.csv"]),
        ("*/a.csv", ["raw/a.csv"]),
        ("raw/*/*.csv", ["raw/2026/a.csv", "raw/2026-x/b.csv"]),
        ("raw/**/a.csv", ["raw/2026/12/a.csv", "raw/2026/a.csv", "raw/a.csv"]),
        ("raw/**/12/*", ["raw/2026/12/a.csv"]),
        ("raw/x[1].csv", ["raw/x[1].csv"]),
        ("none/*.csv", []),
        ("raw/*.parquet", []),
        ("raw/a.csv", ["raw/a.csv"]),
        ("raw/none.csv", []),
    ],
)
def test_a_pattern_means_the_same_files(world: World, pattern: str, found: list[str]) -> None:
    """As a shell has them: a star stays in its folder, two stars do not; always in one order."""
    for name in (
        *("raw/a.csv", "raw/é.csv", "raw/.c.csv", "raw/a b+%20.csv", "raw/x[1].csv"),
        *("raw/2026/a.csv", "raw/2026/12/a.csv", "raw/2026-x/b.csv", "raw/a.txt", "other.csv"),
    ):
        world.put(name, b"1")
    places = world.paths.places(world.text(pattern))
    assert [each.name.removeprefix(world.text("")) for each in places] == found


@pytest.mark.parametrize("name", ["../secret.csv", "raw/../../secret.csv", "", "raw/\0.csv"])
def test_outside_is_refused(world: World, name: str) -> None:
    """Neither a file nor a pattern leads out."""
    for look in (world.paths.place, world.paths.places):
        with pytest.raises(PathRefused):
            look(world.text(name) if name else "")


@pytest.mark.parametrize("pattern", ["raw/a**.csv", "raw/**x/a.csv"])
def test_a_pattern_that_makes_no_sense_is_refused(world: World, pattern: str) -> None:
    """Two stars are a folder, or nothing."""
    with pytest.raises(PathRefused, match="not a usable pattern"):
        world.paths.places(world.text(pattern))
