"""The rules of jobu's engine, one line each: what must hold whatever dies, and when.

``docs/exactly_once.md`` says of each what may die and what then happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

RULES: Final[Mapping[int, str]] = {
    1: "Executions, dead letters and positions of a batch are one transaction; the table decides.",
    2: "The occurrences of one cron job are decided in one transaction; its watermark only rises.",
    3: "What was missed is coalesced, caught up or skipped by policy, never forgotten.",
    4: "Overlapping runs of a job follow its policy; a serial key has one row in flight.",
    5: "An outage is not bad data; a bad row is isolated, a handler that is gone fails no tick.",
    6: "A tick may run twice or die anywhere: it decides by keys and watermarks.",
    7: "One ingest per group and topic; its lock ends with it, and the fence holds without it.",
    8: "Launches are bounded by live slots; without a worker nothing is launched.",
    9: "A claim is one transaction with a fresh token; each launch becomes one run.",
    10: "Every write after launch matches token and attempt, or its process ends.",
    11: "The reconciler settles what runs and workers left, one UPDATE that repeats what was read.",
    12: "One supervisor per worker keeps live rows alive and ends at once those whose child died.",
    13: "Cancel is a state in the row that is polled, never only a signal.",
    14: "Attempts are counted: a worker's death is one, a lost launch or a shutdown is none.",
    15: "A run fails if one of its executions did, after all were tried; none stays between ops.",
    16: "A run started by hand makes a row of its own; a stale token does nothing.",
    17: "Only workers of the launcher's code version get work; a shutdown hands its rows back.",
    18: "While the job store is away, finishing retries until the deadline.",
    19: "Pruning never forgets a key that can still come again.",
}
