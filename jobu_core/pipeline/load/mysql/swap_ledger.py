"""``jobu_swaps``: tables made beside a target, from before they exist until they are gone.

MySQL has no DDL in transactions. What a swap has reached is therefore told by which
tables exist, and this row says what their existence means: a load that was killed
anywhere is either finished from here, or taken back without a trace.

=================  ======================  =====================================
reached            tables                  what the next one does
=================  ======================  =====================================
noted              perhaps the new one     drops it, forgets the row
ready (``rows``)   the new one             the same: it was never renamed
renamed            the old one, or a made  empties the old one, writes the
                   target and no new one   manifest's row, drops the old one,
                                           forgets the row
=================  ======================  =====================================

Whoever looks holds the target's lock, so that nobody is at work there.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, LiteralString

import structlog
from pymysql import err

from jobu_core.clock import SystemClock
from jobu_core.crash_points import reach
from jobu_core.errors import JobuError, LoadRefused, TargetBusy
from jobu_core.pipeline.load.identifiers import TableName
from jobu_core.pipeline.load.mysql.failures import MAY_NOT, REFERENCED, number_of
from jobu_core.pipeline.load.mysql.manifest import (
    exists,
    find_load,
    in_utc,
    loads_of,
    lock_name,
    release_lock,
    try_lock,
)
from jobu_core.pipeline.load.mysql.renaming import rename_in_time
from jobu_core.pipeline.load.mysql.statements import Sql, composed, quoted
from jobu_core.pipeline.load.mysql.statements import table as table_name
from jobu_core.pipeline.load.mysql.tables import definition_of

if TYPE_CHECKING:
    from jobu_core.clock import Clock
    from jobu_core.pipeline.load.manifest import Loaded
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Facts

_GIVE_BACK_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)

_CREATE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS {swaps} (
    swap_id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    load_key varchar(600) NOT NULL,
    schema_name varchar(64) NOT NULL,
    table_name varchar(64) NOT NULL,
    new_name varchar(64) NOT NULL,
    old_name varchar(64) NULL COMMENT 'null: the table is being made',
    target varchar(255) NOT NULL,
    mode varchar(20) NOT NULL,
    `rows` bigint NULL COMMENT 'null until the new table is ready',
    rejected bigint NOT NULL,
    source_sha256 varchar(64) NULL,
    params_sha256 varchar(64) NOT NULL,
    execution_id bigint NOT NULL,
    effective_time datetime(6) NOT NULL COMMENT 'UTC',
    definition varchar(64) NULL COMMENT 'sha256 of the table as it was copied',
    KEY ix_jobu_swaps_key (load_key)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
"""
_NOTE: Final[LiteralString] = """
INSERT INTO {swaps} (load_key, schema_name, table_name, new_name, old_name, target, mode,
                     rejected, params_sha256, execution_id, effective_time, definition)
VALUES (%(load_key)s, %(schema)s, %(table)s, %(new)s, %(old)s, %(target)s, %(mode)s,
        0, %(params)s, %(execution)s, %(effective)s, %(definition)s)
"""
_READY: Final[LiteralString] = """
UPDATE {swaps} SET `rows` = %(rows)s, rejected = %(rejected)s, source_sha256 = %(source)s
WHERE swap_id = %(swap_id)s
"""
_ALL: Final[LiteralString] = """
SELECT swap_id, load_key, schema_name, table_name, new_name, old_name, `rows`, definition
FROM {swaps} ORDER BY swap_id
"""
_RECORD: Final[LiteralString] = """
INSERT INTO {loads} (load_key, target, mode, `rows`, rejected, source_sha256, params_sha256,
                     execution_id, effective_time, loaded_at)
SELECT load_key, target, mode, `rows`, rejected, source_sha256, params_sha256,
       execution_id, effective_time, utc_timestamp(6)
FROM {swaps} WHERE swap_id = %(swap_id)s
"""


class MustGiveBackError(Exception):
    """The old table cannot go: by ``why``, which says so to the loader."""

    def __init__(self, why: JobuError) -> None:
        """Keep the reason."""
        super().__init__(str(why))
        self.why = why


@dataclass(frozen=True, slots=True)
class Swap:
    """One row: whose table, and what lies beside it."""

    swap_id: int
    load_key: str
    target: TableName
    new: TableName
    old: TableName | None
    """Where the target goes; None when there is none yet."""
    rows: int | None
    """Of the new table, once it is complete."""
    definition: str | None
    """Hash of the definition that the new table was made after; None where it made its own."""


def target_lock(target: TableName) -> str:
    """Return the lock that a replace, an upsert or the making of a table holds."""
    return lock_name("target", f"{target.schema}.{target.table}")


def note_swap(session: Session, request: LoadRequest, *, definition: str | None) -> Swap:
    """Write down which tables this load is about to make; before it makes any.

    ``definition`` is the target's, which the new table will have; None: the load makes it.
    """
    if not exists(session, _swaps(session)):
        session.run(_CREATE, swaps=_swaps(session))
        reach("mysql_swap.ledger_created")
    mark = secrets.token_hex(6)
    target = request.target
    new, old = target.beside(f"jobu_new_{mark}"), target.beside(f"jobu_old_{mark}")
    values: dict[str, Any] = {
        "load_key": request.load_key,
        "schema": target.schema,
        "table": target.table,
        "new": new.table,
        "old": None if definition is None else old.table,
        "target": target.in_database,
        "mode": request.mode.value,
        "params": request.params_sha256,
        "execution": request.execution_id,
        "effective": in_utc(request.effective_time),
        "definition": None if definition is None else _sha256(definition),
    }
    session.run(_NOTE, values, swaps=_swaps(session))
    (swap_id,) = session.one("SELECT last_insert_id()")
    reach("mysql_swap.noted")
    aside = None if definition is None else old
    return Swap(int(swap_id), request.load_key, target, new, aside, None, values["definition"])


def mark_ready(session: Session, swap: Swap, rows: int, facts: Facts) -> Swap:
    """Say that the new table is complete: from now on its place decides."""
    values = {"rows": rows, "rejected": facts.rejected, "source": facts.sha256}
    session.run(_READY, {**values, "swap_id": swap.swap_id}, swaps=_swaps(session))
    reach("mysql_swap.ready")
    return replace(swap, rows=rows)


def finish_swap(session: Session, swap: Swap) -> None:
    """Record a swap that was renamed, drop the old table, forget the row; repeatable.

    Raises MustGiveBackError, nothing done, when the old table was altered since it was
    copied, or foreign keys point at it.
    """
    if find_load(session, swap.load_key) is None:
        if swap.old is not None:
            _insist_unaltered(session, swap, swap.old)
            _empty(session, swap, swap.old)
        values = {"swap_id": swap.swap_id}
        session.run(_RECORD, values, loads=loads_of(session), swaps=_swaps(session))
    reach("mysql_swap.recorded")
    if swap.old is not None:
        _drop(session, swap.old)
    reach("mysql_swap.old_dropped")
    _forget(session, swap)
    reach("mysql_swap.forgotten")


def finish_or_give_back(
    session: Session,
    swap: Swap,
    wait_seconds: float = _GIVE_BACK_SECONDS,
    clock: Clock | None = None,
) -> JobuError | None:
    """Finish a swap that was renamed, or undo it where the old table cannot go.

    Returns why it was undone, or None; repeatable. Raises TargetBusy when the names could
    not be given back in time: the next one who looks does it.
    """
    try:
        finish_swap(session, swap)
    except MustGiveBackError as error:
        why = error.why
    else:
        return None
    _log.warning("swap_given_back", table=str(swap.target), load=swap.load_key, why=str(why))
    old = swap.old
    assert old is not None  # noqa: S101 - only an old table is referenced
    rename_in_time(
        session,
        [(swap.target, swap.new), (old, swap.target)],
        wait_seconds=wait_seconds,
        clock=clock or SystemClock(),
        done=lambda: is_there(session, swap.new) and not is_there(session, old),
        prepare=lambda: None,
    )
    reach("mysql_swap.given_back")
    take_back(session, swap)
    return why


def take_back(session: Session, swap: Swap) -> None:
    """Remove the new table of a swap that was not renamed; repeatable."""
    _unready(session, swap)  # first: without it, a missing new table means renamed
    reach("mysql_swap.unready")
    _drop(session, swap.new)
    reach("mysql_swap.new_dropped")
    _forget(session, swap)


def settle_target(session: Session, target: TableName) -> list[str]:
    """Finish or take back what killed loads left at a target; return what was done.

    The caller holds the target's lock.
    """
    return [
        _settle(session, swap)
        for swap in noted_swaps(session)
        if (swap.target.schema, swap.target.table) == (target.schema, target.table)
    ]


def sweep(session: Session) -> list[str]:
    """Settle what killed loads left at any target, unless somebody is at work there.

    Returns what was done. What cannot be settled waits for a load of that target, which
    will say why. Tables that the ledger does not name are never touched.
    """
    done: list[str] = []
    for target in {swap.target: None for swap in noted_swaps(session)}:
        lock = target_lock(target)
        if not try_lock(session, lock, 0):
            continue
        try:
            done += settle_target(session, target)
        except (JobuError, err.Error) as error:
            _log.warning("sweep_failed", table=str(target), error=type(error).__name__)
        release_lock(session, lock)
    return done


def find_settled(session: Session, load_key: str, seconds: float) -> Loaded | None:
    """Return the load of that key, its swap finished first if it was killed after the RENAME.

    Waits for whoever holds the target's lock; without it nothing is settled.
    """
    found = find_load(session, load_key)
    patience = seconds if found is None else 0
    for swap in noted_swaps(session):
        if swap.load_key == load_key and try_lock(session, target_lock(swap.target), patience):
            settle_target(session, swap.target)
            release_lock(session, target_lock(swap.target))
    return found or find_load(session, load_key)


def is_there(session: Session, name: TableName) -> bool:
    """Whether a table of that very name exists."""
    return exists(session, table_name(name))


def was_renamed(session: Session, swap: Swap) -> bool:
    """Whether the new table has taken the target's name."""
    if swap.rows is None or is_there(session, swap.new) or not is_there(session, swap.target):
        return False
    recorded = find_load(session, swap.load_key) is not None
    return recorded or swap.old is None or is_there(session, swap.old)


def _settle(session: Session, swap: Swap) -> str:
    """Finish or take back one swap; return what was done with it."""
    if swap.old is not None and _stopped_halfway(session, swap, swap.old):
        session.run(
            "RENAME TABLE {old} TO {target}",
            old=table_name(swap.old),
            target=table_name(swap.target),
        )
    renamed = was_renamed(session, swap)
    _log.warning("swap_left_over", table=str(swap.target), load=swap.load_key, renamed=renamed)
    if renamed and finish_or_give_back(session, swap) is None:
        return f"{swap.target}: finished the replace of load {swap.load_key}"
    if renamed:
        return f"{swap.target}: gave the old rows back, load {swap.load_key} is undone"
    if swap.old is not None and is_there(session, swap.old):
        raise LoadRefused(
            f"{swap.target}: {swap.old.table} lies beside it and no record says why; keep the "
            f"right one of both, and delete row {swap.swap_id} of jobu_swaps"
        )
    take_back(session, swap)
    return f"{swap.target}: removed {swap.new.table} of load {swap.load_key}, which died"


def _stopped_halfway(session: Session, swap: Swap, old: TableName) -> bool:
    """Whether a server whose RENAME is not atomic died between its two halves."""
    there = [is_there(session, name) for name in (swap.target, old, swap.new)]
    return there == [False, True, True]


def noted_swaps(session: Session) -> list[Swap]:
    """Return the rows of the ledger; who may not see it has made none."""
    try:
        if not exists(session, _swaps(session)):
            return []
    except err.Error as error:
        if number_of(error) not in MAY_NOT:
            raise
        return []
    found = []
    for swap_id, load_key, schema, name, new, old, rows, definition in session.rows(
        _ALL, swaps=_swaps(session)
    ):
        target = TableName(session.database, schema, name)
        aside = None if old is None else target.beside(old)
        found.append(Swap(swap_id, load_key, target, target.beside(new), aside, rows, definition))
    return found


def _unready(session: Session, swap: Swap) -> None:
    session.run(
        "UPDATE {swaps} SET `rows` = NULL WHERE swap_id = %(swap_id)s",
        {"swap_id": swap.swap_id},
        swaps=_swaps(session),
    )


def _insist_unaltered(session: Session, swap: Swap, old: TableName) -> None:
    """Compare the old table with what was copied: an ALTER may have come before the RENAME."""
    if swap.definition != _sha256(definition_of(session, old)):
        raise MustGiveBackError(TargetBusy(f"{swap.target} was altered while it was loaded"))


def _empty(session: Session, swap: Swap, old: TableName) -> None:
    """Take the old rows away; the server refuses that while foreign keys point at them.

    Foreign keys follow a renamed table, and information_schema keeps those of tables
    from us that we have no right on: this is the first moment that tells.
    """
    try:
        session.run("TRUNCATE TABLE {old}", old=table_name(old))
    except err.Error as error:
        if number_of(error) not in REFERENCED:
            raise
        why = LoadRefused(
            f"{swap.target}: a foreign key of a table that this user cannot see points at it, so "
            "its rows stay as they were; grant the user REFERENCES on that table"
        )
        raise MustGiveBackError(why) from None
    reach("mysql_swap.old_emptied")


def _sha256(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()


def _drop(session: Session, name: TableName) -> None:
    session.run("DROP TABLE IF EXISTS {table}", table=table_name(name))


def _forget(session: Session, swap: Swap) -> None:
    session.run(
        "DELETE FROM {swaps} WHERE swap_id = %(swap_id)s",
        {"swap_id": swap.swap_id},
        swaps=_swaps(session),
    )


def _swaps(session: Session) -> Sql:
    return composed("{schema}.{table}", schema=quoted(session.schema), table=quoted("jobu_swaps"))
