"""Progress is told at a bounded pace, with rate and rest; never per row."""

from __future__ import annotations

import pytest

from jobu_core.clock import ManualClock
from jobu_core.pipeline.meter import Listener, PacedMeter, Progress


def metered(*, every: float = 5.0) -> tuple[ManualClock, PacedMeter, list[Progress]]:
    """Return a clock, a meter on it, and what its one listener was told."""
    clock, told = ManualClock(), list[Progress]()
    return clock, PacedMeter(clock, [Listener(every, told.append)]), told


def test_a_listener_is_told_once_per_period_however_many_batches_there_are() -> None:
    """A thousand batches in a hundred seconds are twenty lines."""
    clock, meter, told = metered()
    meter.start("load", total_rows=1000)
    for rows in range(1, 1001):
        clock.advance(0.125)
        meter.at(rows)
    assert len(told) == 25
    assert told[0].rows == 40


def test_each_listener_has_a_pace_of_its_own() -> None:
    """The log and the row are told at their own periods."""
    clock, quick, slow = ManualClock(), list[Progress](), list[Progress]()
    meter = PacedMeter(clock, [Listener(1.0, quick.append), Listener(10.0, slow.append)])
    meter.start("load")
    for rows in range(20):
        clock.advance(1.0)
        meter.at(rows)
    assert (len(quick), len(slow)) == (20, 2)


def test_a_stage_that_follows_keeps_the_pace_and_counts_from_nothing() -> None:
    """Short stages one after the other tell no more often than one long one."""
    clock, meter, told = metered()
    for stage in ("preprocess", "validate", "load"):
        meter.start(stage, total_rows=10)
        clock.advance(2.0)
        meter.at(10)
    (only,) = told
    assert (only.stage, only.rows, only.seconds) == ("load", 10, 2.0)


def test_rows_tell_the_rate_and_the_rest() -> None:
    """A quarter took ten seconds, so that three quarters take thirty."""
    clock, meter, told = metered()
    meter.start("load", total_rows=1000, total_bytes=4000)
    clock.advance(10.0)
    meter.at(250)
    assert told[0].as_json() == {
        "stage": "load",
        "rows": 250,
        "total_rows": 1000,
        "bytes": 1000,
        "total_bytes": 4000,
        "seconds": 10.0,
        "rows_per_second": 25,
        "eta_seconds": 30.0,
    }


def test_bytes_tell_the_rest_where_no_total_of_rows_is_known() -> None:
    """A CSV says only by its size how much is left."""
    clock, meter, told = metered()
    meter.start("preprocess", total_bytes=8000)
    clock.advance(10.0)
    meter.at(70, 2000)
    assert told[0].as_json() | {"rows_per_second": 7, "eta_seconds": 30.0} == told[0].as_json()


@pytest.mark.parametrize("total", [None, 0])
def test_nothing_is_guessed_without_a_total(total: int | None) -> None:
    """Records of a message have no size: rows and rate are all there is."""
    clock, meter, told = metered()
    meter.start("validate", total_rows=total)
    clock.advance(10.0)
    meter.at(20)
    assert (told[0].rows_per_second, told[0].eta_seconds, told[0].bytes) == (2.0, None, None)


def test_more_than_the_total_is_all_of_it() -> None:
    """A file that grows ends in an error of the reader, not in a negative rest."""
    clock, meter, told = metered()
    meter.start("load", total_rows=10, total_bytes=100)
    clock.advance(10.0)
    meter.at(20)
    assert (told[0].eta_seconds, told[0].bytes) == (0.0, 100)


def test_what_a_listener_raises_comes_out() -> None:
    """A refused write of progress must end the attempt."""

    def refuse(_: Progress) -> None:
        raise RuntimeError("not yours")

    clock = ManualClock()
    meter = PacedMeter(clock, [Listener(1.0, refuse)])
    meter.start("load")
    meter.at(1)
    clock.advance(1.0)
    with pytest.raises(RuntimeError, match="not yours"):
        meter.at(2)
