"""The bench measures what it says: fair turns, the same rows, targets held against figures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from bench import data
from bench.options import size_in_bytes
from bench.race import Contestant, Lap, race
from bench.results import compared
from bench.suites import SUITES
from jobu_admin.cli.bench import Suite, load_bench
from jobu_core.errors import ConfigError, InvalidParams

if TYPE_CHECKING:
    from pathlib import Path


def test_every_round_runs_all_and_every_second_one_backwards() -> None:
    """No contestant always runs in the wake of the same other one."""
    order: list[str] = []
    contestants = [
        Contestant("a", lambda: order.append("a"), 1),
        Contestant("b", lambda: order.append("b"), 1),
        Contestant("slow", lambda: order.append("slow"), 1, rounds=1),
    ]
    laps = race(contestants, 3)
    assert order == ["a", "b", "slow", "b", "a", "a", "b"]
    assert [len(laps[name].seconds) for name in ("a", "b", "slow")] == [3, 3, 1]


def test_preparing_and_checking_surround_each_run() -> None:
    """Every run starts from the same state, and is seen to have done its work."""
    steps: list[str] = []
    contestant = Contestant(
        "a",
        lambda: steps.append("run"),
        1,
        prepare=lambda: steps.append("prepare"),
        check=lambda: steps.append("check"),
    )
    race([contestant], 2)
    assert steps == ["prepare", "run", "check"] * 2


def test_a_ratio_compares_the_median_runs() -> None:
    """One slow run of either moves nothing; more rows per second is better."""
    ours, peer = Lap(100, [1.0, 9.0, 1.0]), Lap(100, [2.0, 2.0, 50.0])
    result = compared("x", ours, peer, against="peer", target=2.0)
    assert (result.value, result.peer_value, result.ratio, result.met) == (100, 50, 2.0, True)
    assert compared("x", peer, ours, against="peer", target=2.0).met is False
    assert compared("x", ours, peer, against="peer").met is None


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000)])
def test_a_size_is_read_with_its_unit(text: str, size: int) -> None:
    """Sizes are written as people write them."""
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["5", "5 apples", "-1GB", ""])
def test_a_size_without_a_unit_is_refused(text: str) -> None:
    """Five of what: nobody guesses."""
    with pytest.raises(InvalidParams, match="write for example 500MB"):
        size_in_bytes(text)


def test_the_same_rows_are_made_every_time(tmp_path: Path) -> None:
    """Figures of two days are of the same bytes, whatever else was made in between."""
    first = data.write_csv(tmp_path / "a.csv", data.wide_text, 50).read_bytes()
    data.narrow_rows(0, 10)
    assert data.write_csv(tmp_path / "b.csv", data.wide_text, 50).read_bytes() == first


def test_a_file_in_chunks_has_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file larger than a chunk goes on where the chunk before ended."""
    monkeypatch.setattr(data, "CHUNK", 30)
    path = data.write_parquet(tmp_path / "rows.parquet", data.narrow_rows, 100)
    assert pq.read_table(path).column("id").to_pylist() == list(range(1, 101))


def test_clean_rows_fit_their_models() -> None:
    """Nobody is slowed by rejects where none are meant to be."""
    for make, row in ((data.narrow_text, data.Narrow), (data.wide_text, data.Wide)):
        for cells in make(0, 200).to_pylist():
            row.model_validate_strings({name: cell for name, cell in cells.items() if cell})


def test_wide_rows_are_mixed() -> None:
    """Thirty columns with nulls, quotes, commas and Hangul among them."""
    rows = data.wide_rows(0, 500)
    assert rows.num_columns == 30
    assert rows.column("maybe_int_0").null_count > 0
    texts = "".join(map(str, rows.column("text_0").to_pylist()))
    assert all(part in texts for part in (",", '"', "서울"))


def test_each_twentieth_row_is_bad_in_one_field() -> None:
    """Five percent, spread over the fields."""
    bad: list[str] = []
    for cells in data.bad_narrow_text(0, 400).to_pylist():
        try:
            data.Narrow.model_validate_strings(cells)
        except ValidationError as error:
            bad += [str(each["loc"][0]) for each in error.errors()]
    assert sorted(bad) == sorted(["id", "name", "value", "created_at"] * 5)


def test_every_suite_can_be_asked_for() -> None:
    """The command's names are the suites' names."""
    assert {each.value for each in Suite} == {*SUITES, "all"}


def test_an_installed_wheel_says_where_the_benchmarks_are(tmp_path: Path) -> None:
    """The wheel has no bench/: one line says so, and the path stays as it was."""
    before = list(sys.path)
    with pytest.raises(ConfigError, match="clone it and run `make bench` there"):
        load_bench(tmp_path)
    assert sys.path == before
