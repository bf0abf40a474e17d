"""What must hold after every step, judged from the history of the rows, not from jobu's code.

The store notes each change with who made it; here each transaction is held against
engine.md's rules. The model knows what was put in and what the world went through.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from tests.simulation import occurrences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.actors import Actor
    from tests.simulation.store import Change
    from tests.simulation.world import World

UNFINISHED: Final = frozenset({"PENDING", "QUEUED", "RUNNING"})
LAUNCHED: Final = frozenset({"QUEUED", "RUNNING"})
ACTIVE_TRIGGERS: Final = frozenset({"schedule", "manual", "retry"})


class Invariants:
    """Follows the rows; ``check`` reports to the world what must never be."""

    def __init__(self, world: World) -> None:
        """Know nothing yet."""
        self.world = world
        self.rows: dict[int, dict[str, Any]] = {}
        self.messages: dict[tuple[int, int, int], str] = {}
        """(generation, partition, offset) → ``execution`` or ``dead_letter``."""
        self.positions: dict[tuple[int, int], int] = {}
        self.effects: dict[int, int] = {}
        """Root execution → the serial of its effect."""
        self.tokens: dict[str, str] = {}
        """Launch token → the transaction that made it."""
        self.beats: dict[int, float] = {}
        """Execution → when its heartbeat last moved, on the world's clock."""
        self.moves = 0
        """How many rows have changed their status so far."""

    def check(self) -> None:
        """Judge everything that was committed since the last look."""
        found = self.world.store.changes()
        for _, group in groupby(found, key=lambda change: change.transaction):
            self._judge(list(group))
        self._broker_is_behind()

    def expects(self, error: Exception) -> bool:
        """Whether an error is what a restored sequence of ids leads to, until it has caught up."""
        return isinstance(error, sa.exc.IntegrityError) and "pk_job_executions" in str(error.orig)

    def _judge(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change.table:
                case "job_executions":
                    self._execution(change)
                case "dead_letters" if not change.old:
                    self._message(change.new, "", "dead_letter")
                case "kafka_positions" if change.new:
                    self._position(change)
                case "sim_effects":
                    self.effects[change.new["root"]] = change.serial
        self._positions_are_covered(changes)
        for message in occurrences.misjudged(changes, self.world.store.now):
            self._report(message)

    def _execution(self, change: Change) -> None:
        old, new = change.old, change.new
        if not new:
            self._report(f"execution {old['id']} was deleted")
            return
        self.rows[new["id"]] = new
        self.moves += not old or old["status"] != new["status"]
        if not old:
            self._inserted(new)
            return
        if old["heartbeat_at"] != new["heartbeat_at"]:
            self.beats[new["id"]] = self.world.seconds
        if old["attempt"] != new["attempt"] and old["status"] == new["status"]:
            self._report(f"execution {new['id']}: its attempt changed without its status")
        if old["status"] != new["status"]:
            self._moved(change)

    def _inserted(self, new: dict[str, Any]) -> None:
        if new["trigger"] == "event":
            self._message(new, "kafka_", "execution")
        if new["trigger"] != "schedule" or new["status"] != "PENDING":
            return
        others = self._active(new["job_id"], new["id"])
        policy = self._policy(new["job_id"])
        if (policy == "skip" and others) or (policy == "queue_one" and len(others) > 1):
            self._report(f"execution {new['id']} overlaps {others} although its job says {policy}")

    def _active(self, job_id: int, but: int) -> list[int]:
        return [
            row["id"]
            for row in self.rows.values()
            if row["job_id"] == job_id
            and row["id"] != but
            and row["status"] in UNFINISHED
            and row["trigger"] in ACTIVE_TRIGGERS
        ]

    def _policy(self, job_id: int) -> str:
        found = self.world.store.ask("SELECT overlap_policy FROM cron_jobs WHERE id = %s", job_id)
        return str(found[0][0]) if found else "gone"

    def _moved(self, change: Change) -> None:
        match (change.old["status"], change.new["status"]):
            case ("PENDING", "QUEUED"):
                self._claimed(change)
            case ("QUEUED", "RUNNING"):
                self._began(change)
            case ("QUEUED" | "RUNNING", "PENDING"):
                self._went_back(change)
            case (_, "CANCELED"):
                self._canceled(change)
            case ("RUNNING", _):
                self._ended(change)
            case ("QUEUED" | "PENDING", "FAILED"):
                self._failed_unbegun(change)
            case _:
                self._report(
                    f"execution {change.new['id']}: {change.old['status']} → "
                    f"{change.new['status']} is no move of jobu"
                )

    def _claimed(self, change: Change) -> None:
        new = change.new
        made_in = self.tokens.setdefault(new["lease_token"], change.transaction)
        if made_in != change.transaction:
            self._report(f"execution {new['id']} was launched under a token that was used before")
        due = change.old["next_attempt_at"]
        if due is not None and _time(due) > change.at and "child" not in change.actor:
            self._report(f"execution {new['id']} was launched before it was due")
        if new["cancel_requested_at"] is not None:
            self._report(f"execution {new['id']} was launched although it was to be canceled")
        self._serial(new, change.actor)

    def _serial(self, new: dict[str, Any], actor: str) -> None:
        for row in self.rows.values():
            same = new["serial_key"] is not None and row["serial_key"] == new["serial_key"]
            if not same or row["id"] == new["id"]:
                continue
            if row["status"] in LAUNCHED:
                self._report(
                    f"executions {row['id']} and {new['id']} of one serial key fly at once"
                )
            older = row["status"] == "PENDING" and row["id"] < new["id"]
            if older and "child" not in actor:
                self._report(f"execution {new['id']} went before {row['id']} of its serial key")

    def _began(self, change: Change) -> None:
        old, new = change.old, change.new
        if new["attempt"] != old["attempt"] + 1 or new["lease_token"] != old["lease_token"]:
            self._report(f"execution {new['id']} began with another token or a skipped attempt")
        if new["attempt"] > new["max_attempts"]:
            self._report(
                f"execution {new['id']} began attempt {new['attempt']} of {new['max_attempts']}"
            )

    def _went_back(self, change: Change) -> None:
        old, new = change.old, change.new
        if old["cancel_requested_at"] is not None:
            self._report(
                f"execution {new['id']} went back to PENDING although it was to be canceled"
            )
        if old["status"] == "RUNNING":
            self._written_by_its_owner(change)
        self._judged_lost(change)

    def _canceled(self, change: Change) -> None:
        old, new = change.old, change.new
        asked = new["cancel_requested_at"] is not None or new["reason"] == "handler"
        if not asked and not (old["status"] == "QUEUED" and self._run_was_canceled(old)):
            self._report(f"execution {new['id']} was canceled though nobody asked")
        if old["status"] == "RUNNING":
            self._written_by_its_owner(change)

    def _run_was_canceled(self, old: dict[str, Any]) -> bool:
        run = self.world.carrier.runs.get(old["run_id"] or old["lease_token"])
        return run is not None and run.state in {"CANCELED", "CANCELING"}

    def _ended(self, change: Change) -> None:
        old, new = change.old, change.new
        self._written_by_its_owner(change)
        self._judged_lost(change)
        root = new["root_execution_id"] or new["id"]
        if new["status"] == "SUCCESS" and root not in self.effects:
            self._report(f"execution {new['id']} is SUCCESS without an effect")
        passed = old["deadline_at"] is not None and _time(old["deadline_at"]) <= change.at
        if new["status"] == "TIMEOUT" and not passed:
            self._report(f"execution {new['id']} is TIMEOUT before its deadline")
        if new["status"] in {"FAILED", "TIMEOUT"} and new["attempt"] < new["max_attempts"]:
            self._report(
                f"execution {new['id']} is {new['status']} with attempts left: {new['reason']}",
            )

    def _failed_unbegun(self, change: Change) -> None:
        new = change.new
        if new["reason"] not in {"launch_failed", "handler_unknown"}:
            self._report(f"execution {new['id']} failed before it began: {new['reason']}")

    def _written_by_its_owner(self, change: Change) -> None:
        """Hold a child's write against the attempt that the child executes."""
        old = change.old
        owner = f"{old['id']}/{old['lease_token']}/{old['attempt']}"
        if change.owned not in {"", owner}:
            self._report(f"{change.actor}, which owned {change.owned}, ended {owner}")

    def _judged_lost(self, change: Change) -> None:
        """Ask for a lease of looks at one heartbeat, before a row is called lost (rule 11)."""
        if change.new["reason"] != "worker_lost":
            return
        actor = self._actor(change.actor)
        if actor is None or actor.name == "supervise":
            self._child_is_dead(change)
            return
        since = max(
            actor.process.started_at,
            actor.failed_look_at,
            self.beats.get(change.old["id"], float("-inf")),
        )
        lease = self.world.settings.worker.lease_seconds
        if actor.started_at - since < lease:
            self._report(
                f"execution {change.old['id']} was called lost after"
                f" {actor.started_at - since:g} s of successful looks",
            )

    def _child_is_dead(self, change: Change) -> None:
        for child in self.world.running():
            fence = child.fence
            if (
                fence is not None
                and child.process.is_alive
                and (
                    (fence.execution_id, str(fence.token), fence.attempt)
                    == (change.old["id"], change.old["lease_token"], change.old["attempt"])
                )
            ):
                self._report(
                    f"execution {change.old['id']} was called lost while child"
                    f" {child.pid} executes it"
                )

    def _actor(self, label: str) -> Actor | None:
        return self.world.stage.seen.get(label)

    def _message(self, row: dict[str, Any], prefix: str, kind: str) -> None:
        at = (row[f"{prefix}generation"], row[f"{prefix}partition"], row[f"{prefix}offset"])
        if at in self.messages:
            self._report(f"message {at} is in the ledger twice")
        self.messages[at] = kind
        wanted = self.world.expected.get((at[1], at[2]))
        if wanted is not None and wanted != kind:
            self._report(f"message {at} became a {kind}, not a {wanted}")

    def _position(self, change: Change) -> None:
        key = (change.new["generation"], change.new["partition"])
        before = self.positions.get(key, 0)
        if change.new["next_offset"] < before:
            self._report(f"the position of {key} fell from {before}")
        self.positions[key] = change.new["next_offset"]

    def _positions_are_covered(self, changes: Sequence[Change]) -> None:
        if not any(change.table != "cron_jobs" for change in changes):
            return
        counted: dict[tuple[int, int], int] = defaultdict(int)
        for generation, partition, _ in self.messages:
            counted[generation, partition] += 1
        for key, offset in self.positions.items():
            if counted[key] != offset:
                have = f"with {counted[key]} messages in the ledger"
                self._report(f"partition {key} stands at {offset} {have}")

    def _broker_is_behind(self) -> None:
        """See that the broker is told after the table has decided, never before (rule 1)."""
        newest = max((generation for generation, _ in self.positions), default=1)
        for offsets in self.world.broker.commits.values():
            for partition, offset in offsets.items():
                if offset > self.positions.get((newest, partition), 0):
                    self._report(
                        f"the broker was told {offset} of partition {partition}, ahead of the table"
                    )

    def _report(self, message: str) -> None:
        self.world.report(message)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
