"""``jobu_loads`` in the URL's database: which loads have happened, exactly once.

An append or upsert writes its row first in its own transaction, so it is there if
and only if the rows are. A swap cannot be in a transaction; its row follows the
RENAME, and ``swap_ledger.py`` sees to it that it does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, LiteralString

from pymysql import err

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused, TargetBusy
from jobu_core.pipeline.load.manifest import Loaded
from jobu_core.pipeline.load.mysql.failures import DUPLICATE, NO_SUCH_TABLE, number_of
from jobu_core.pipeline.load.mysql.statements import Sql, composed, quoted

if TYPE_CHECKING:
    from datetime import datetime

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.mysql.session import Session
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Facts, Source

_CREATE_LOADS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS {loads} (
    load_id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    load_key varchar(600) NOT NULL,
    target varchar(255) NOT NULL,
    mode varchar(20) NOT NULL,
    `rows` bigint NULL,
    rejected bigint NOT NULL DEFAULT 0,
    source_sha256 varchar(64) NULL,
    params_sha256 varchar(64) NOT NULL,
    execution_id bigint NOT NULL,
    effective_time datetime(6) NOT NULL COMMENT 'UTC',
    loaded_at datetime(6) NULL COMMENT 'UTC',
    UNIQUE KEY ux_jobu_loads_key (load_key),
    KEY ix_jobu_loads_target (target, effective_time)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
"""
_CLAIM: Final[LiteralString] = """
INSERT INTO {loads} (load_key, target, mode, params_sha256, execution_id, effective_time)
VALUES (%(load_key)s, %(target)s, %(mode)s, %(params)s, %(execution)s, %(effective)s)
"""
_FIND: Final[LiteralString] = """
SELECT load_key, load_id, target, mode, `rows`, rejected, source_sha256, execution_id
FROM {loads} WHERE load_key = %(load_key)s {waiting}
"""
_FINISH: Final[LiteralString] = """
UPDATE {loads}
SET `rows` = %(rows)s, rejected = %(rejected)s, source_sha256 = %(source)s,
    loaded_at = utc_timestamp(6)
WHERE load_id = %(load_id)s
"""
_NEWER: Final[LiteralString] = """
SELECT EXISTS (
    SELECT 1 FROM {loads}
    WHERE target = %(target)s AND effective_time > %(effective)s AND load_key <> %(load_key)s
)
"""
_REPLACED: Final[LiteralString] = """
SELECT min(load_id) FROM {loads}
WHERE target = %(target)s AND mode = 'replace' AND load_id > %(load_id)s
"""


def ensure_manifest(session: Session) -> None:
    """Create ``jobu_loads`` when it is missing; of several creators one does it."""
    if not exists(session, loads_of(session)):
        session.run(_CREATE_LOADS, loads=loads_of(session))
        reach("mysql_manifest.created")


def exists(session: Session, table: Sql) -> bool:
    """Whether a table of ours is there."""
    try:
        session.rows("SELECT 1 FROM {table} LIMIT 0", table=table)
    except err.ProgrammingError as error:
        if number_of(error) != NO_SUCH_TABLE:
            raise
        return False
    return True


def loads_of(session: Session) -> Sql:
    """Return the manifest's table for a statement."""
    return composed("{schema}.{table}", schema=quoted(session.schema), table=quoted("jobu_loads"))


def claim_load(session: Session, request: LoadRequest) -> int | None:
    """Insert the load's row and return its id, or None when the key is taken.

    Waits for another transaction that inserted the same key, as long as locks are
    waited for.
    """
    values = {
        "load_key": request.load_key,
        "target": request.target.in_database,
        "mode": request.mode.value,
        "params": request.params_sha256,
        "execution": request.execution_id,
        "effective": in_utc(request.effective_time),
    }
    try:
        session.run(_CLAIM, values, loads=loads_of(session))
    except err.IntegrityError as error:
        if number_of(error) != DUPLICATE:
            raise
        return None
    (load_id,) = session.one("SELECT last_insert_id()")
    return int(load_id)


def find_load(session: Session, load_key: str, *, waiting: bool = False) -> Loaded | None:
    """Return the load of that key, or None; also None where there is no manifest.

    ``waiting`` lets it wait for a transaction that is just writing that row.
    """
    lock = Sql("FOR UPDATE" if waiting else "")
    if not exists(session, loads_of(session)):
        return None
    rows = session.rows(_FIND, {"load_key": load_key}, loads=loads_of(session), waiting=lock)
    return Loaded(*rows[0]) if rows else None


def find_replacement(session: Session, target: TableName, load_id: int) -> int | None:
    """Return the first load after ``load_id`` that replaced the target's rows, or None."""
    if not exists(session, loads_of(session)):
        return None
    values = {"target": target.in_database, "load_id": load_id}
    (found,) = session.one(_REPLACED, values, loads=loads_of(session))
    return None if found is None else int(found)


def same_load(session: Session, request: LoadRequest, source: Source) -> Loaded:
    """Return the load that holds the request's key; raises as ``insist_same``."""
    found = find_load(session, request.load_key)
    if found is None:
        raise LoadRefused(
            f"load {request.load_key} was there a moment ago and is gone; removed by hand?"
        )
    return insist_same(found, request, source)


def insist_same(found: Loaded, request: LoadRequest, source: Source) -> Loaded:
    """Return ``found``; raises LoadRefused when it was made from other bytes.

    A stream reads its file for that, without making rows of it.
    """
    if found.source_sha256 != source.input_sha256():
        raise LoadRefused(
            f"{request.target}: load {found.load_id} of execution {found.execution_id} was made "
            "from another input; a changed file needs a new execution"
        )
    return found


def finish_load(session: Session, load_id: int, rows: int, facts: Facts) -> None:
    """Complete the manifest row; the last write before commit."""
    values = {
        "load_id": load_id,
        "rows": rows,
        "rejected": facts.rejected,
        "source": facts.sha256,
    }
    session.run(_FINISH, values, loads=loads_of(session))


def newer_exists(session: Session, request: LoadRequest) -> bool:
    """Whether the table was loaded for a later effective time than the request's."""
    values = {
        "target": request.target.in_database,
        "effective": in_utc(request.effective_time),
        "load_key": request.load_key,
    }
    (found,) = session.one(_NEWER, values, loads=loads_of(session))
    return bool(found)


def in_utc(moment: datetime) -> datetime:
    """Return an aware moment as the manifest's columns hold it: UTC, without a zone."""
    offset = moment.utcoffset()
    assert offset is not None  # noqa: S101 - naive ones are refused at the border
    return moment.replace(tzinfo=None) - offset


def lock_name(kind: str, of: str) -> str:
    """Return the name of a server-wide lock; those may have 64 characters."""
    return f"jobu:{kind}:{hashlib.sha256(of.encode()).hexdigest()[:40]}"


def take_lock(session: Session, name: str, seconds: float, busy: str) -> None:
    """Take a lock that lives as long as the connection; raises TargetBusy with ``busy``."""
    if not try_lock(session, name, seconds):
        raise TargetBusy(busy)


def try_lock(session: Session, name: str, seconds: float) -> bool:
    """Return whether the lock was got in time; 0 does not wait."""
    values: dict[str, Any] = {"name": name, "seconds": seconds}
    (got,) = session.one("SELECT get_lock(%(name)s, %(seconds)s)", values)
    return bool(got == 1)


def release_lock(session: Session, name: str) -> None:
    """Give a lock back before the connection ends."""
    session.one("SELECT release_lock(%(name)s)", {"name": name})
