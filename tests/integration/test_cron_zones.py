"""A zone that leaves the tz database under a saved job: told, skipped, never a failed tick."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from jobu_core.dispatcher.cron import fire_times
from jobu_core.dispatcher.cron.edit import edit_job, set_enabled
from jobu_core.dispatcher.cron.manual import run_now
from jobu_core.errors import InvalidCron
from tests.fix_cron import short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fix_cron import Cron
    from tests.fix_store_time import StoreTime

_ZONE = "Europe/Berlin"


@pytest.fixture
def without_berlin() -> Iterator[pytest.MonkeyPatch]:
    """Yield a patch under which the machine does not know the zone; undo it to bring it back."""

    def known(name: str) -> ZoneInfo:
        if name == _ZONE:
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fire_times, "ZoneInfo", known)
        yield patch


def _add(cron: Cron) -> None:
    """Save a job while the zone is known, and one of another zone."""
    with pytest.MonkeyPatch.context() as known:
        known.setattr(fire_times, "ZoneInfo", ZoneInfo)
        cron.add(name="job", timezone=_ZONE, overlap_policy="allow")
    cron.add(name="other", overlap_policy="allow")


def _runs_of_job(cron: Cron) -> list[str]:
    job = cron.job().id
    return [short(row.scheduled_time) for row in cron.executions() if row.job_id == job]


@pytest.mark.usefixtures("without_berlin")
def test_a_vanished_zone_skips_its_job_and_no_other(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """The tick names job and zone; the stretch is one skip; the other job runs on."""
    _add(cron)
    for _ in range(3):
        store_time.forward(minutes=1)
        tick = cron.tick()
        assert len(tick.created) == 1
        assert tick.messages[0].startswith(f"job: cannot be scheduled: timezone {_ZONE!r} is")
    assert cron.skips() == [("invalid", "03-02 00:01", 1)]


def test_a_zone_that_comes_back_goes_on_from_now(
    cron: Cron,
    store_time: StoreTime,
    without_berlin: pytest.MonkeyPatch,
) -> None:
    """What fell into the stretch without it does not run later."""
    _add(cron)
    store_time.forward(minutes=5)
    cron.tick()
    without_berlin.undo()
    store_time.forward(minutes=1)
    cron.tick()
    assert _runs_of_job(cron) == ["03-02 00:06"]


@pytest.mark.usefixtures("without_berlin")
def test_a_job_moves_to_the_new_name_of_its_zone(
    cron: Cron,
    store_time: StoreTime,
) -> None:
    """The old definition cannot be read any more; the edit works all the same."""
    _add(cron)
    now = store_time.forward(minutes=5)
    edited = edit_job(
        cron.engine, cron.catalog, cron.settings, "job", {"timezone": "Europe/Vienna"}, who="t"
    )
    assert edited.dispatched_until == now
    store_time.forward(minutes=1)
    cron.tick()
    assert _runs_of_job(cron) == ["03-02 00:06"]


@pytest.mark.usefixtures("without_berlin")
def test_people_are_told_when_they_touch_such_a_job(
    cron: Cron,
) -> None:
    """Running and enabling it are refused with the zone's name; disabling it works."""
    _add(cron)
    with pytest.raises(InvalidCron, match="timezone 'Europe/Berlin' is unknown"):
        run_now(cron.engine, cron.catalog, "job", who="t")

    def switch(*, enabled: bool) -> bool:
        saved = set_enabled(
            cron.engine, cron.catalog, cron.settings, "job", enabled=enabled, who="t"
        )
        return saved.is_enabled

    assert switch(enabled=False) is False
    with pytest.raises(InvalidCron, match="is unknown"):
        switch(enabled=True)
