"""Which due rows share a run: one each, until there are more rows than launches. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobu_core.store.launches import DueRow


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What bounds a launch."""

    max_batch: int = 1
    """Rows of one launch at most."""
    alone: Collection[str] = ()
    """Handlers whose rows never share a run: their stages are the run's ops."""


def share_launches(
    rows: Sequence[DueRow],
    launches: int,
    limits: BatchLimits,
) -> list[list[DueRow]]:
    """Divide ``rows``, most urgent first, among at most ``launches`` launches.

    Every launch has one handler and one source, and none is larger than an even
    share of the backlog, so that few rows spread over all slots. Rows for which no
    launch was left are in no group; ids ascend within a group.
    """
    if launches <= 0:
        return []
    size = min(limits.max_batch, -(-len(rows) // launches))
    groups: list[list[DueRow]] = []
    filling: dict[tuple[str, str], list[DueRow]] = {}
    for row in rows:
        kind = (row.handler, row.source)
        group = filling.get(kind)
        if group is not None and len(group) < size and row.handler not in limits.alone:
            group.append(row)
        elif len(groups) < launches:
            filling[kind] = [row]
            groups.append(filling[kind])
    return [sorted(group, key=lambda row: row.id) for group in groups]
