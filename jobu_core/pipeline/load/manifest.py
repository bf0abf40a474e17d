"""``jobu_loads`` in the target database: which loads have happened, exactly once.

The row of a load is the first write of its transaction, so it is there if and
only if the rows are; a second loader of the same key waits on it and gets none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from psycopg.rows import class_row

from jobu_core.crash_points import reach
from jobu_core.errors import LoadRefused
from jobu_core.pipeline.load.session import bound_locks, one, open_session

if TYPE_CHECKING:
    import psycopg

    from jobu_core.pipeline.load.identifiers import TableName
    from jobu_core.pipeline.load.request import LoadRequest
    from jobu_core.pipeline.load.source import Facts, Source

_CREATE_LOCK: Final = 0x6A6F6275_00000002
_EXISTS: Final[LiteralString] = "SELECT to_regclass('public.jobu_loads') IS NOT NULL"
_CREATE: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS public.jobu_loads (
    load_key text PRIMARY KEY,
    load_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    target text NOT NULL,
    mode text NOT NULL,
    rows bigint,
    rejected bigint NOT NULL DEFAULT 0,
    source_sha256 text,
    params_sha256 text NOT NULL,
    execution_id bigint NOT NULL,
    effective_time timestamptz NOT NULL,
    loaded_at timestamptz
)
"""
_CREATE_INDEX: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS ix_jobu_loads_target
ON public.jobu_loads (target, effective_time DESC)
"""
_CLAIM: Final[LiteralString] = """
INSERT INTO public.jobu_loads (load_key, target, mode, params_sha256, execution_id,
                               effective_time)
VALUES (%(load_key)s, %(target)s, %(mode)s, %(params)s, %(execution)s, %(effective)s)
ON CONFLICT (load_key) DO NOTHING
RETURNING load_id
"""
_FIND: Final[LiteralString] = """
SELECT load_key, load_id, target, mode, rows, rejected, source_sha256, execution_id
FROM public.jobu_loads WHERE load_key = %(load_key)s
"""
_FINISH: Final[LiteralString] = """
UPDATE public.jobu_loads
SET rows = %(rows)s, rejected = %(rejected)s, source_sha256 = %(source)s,
    loaded_at = clock_timestamp()
WHERE load_id = %(load_id)s
"""
_NEWER: Final[LiteralString] = """
SELECT EXISTS (
    SELECT FROM public.jobu_loads
    WHERE target = %(target)s AND effective_time > %(effective)s AND load_key <> %(load_key)s
)
"""
_REPLACED: Final[LiteralString] = """
SELECT min(load_id) FROM public.jobu_loads
WHERE target = %(target)s AND mode = 'replace' AND load_id > %(load_id)s
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A committed load, as its manifest row tells it."""

    load_key: str
    load_id: int
    target: str
    mode: str
    rows: int
    rejected: int
    source_sha256: str | None
    execution_id: int


def ensure_manifest(connection: psycopg.Connection, *, lock_wait_seconds: float) -> None:
    """Create ``jobu_loads`` when it is missing; one creator at a time, the rest wait."""
    (exists,) = one(connection, _EXISTS)
    if exists:
        return
    with connection.transaction():
        bound_locks(connection, lock_wait_seconds)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
        connection.execute(_CREATE)
        reach("manifest.table_created")
        connection.execute(_CREATE_INDEX)
        reach("manifest.index_created")
    reach("manifest.committed")


def claim_load(connection: psycopg.Connection, request: LoadRequest) -> int | None:
    """Insert the load's row and return its id, or None when the key is taken.

    Waits for another transaction that inserted the same key, as long as the
    transaction's lock_timeout lets it.
    """
    row = connection.execute(
        _CLAIM,
        {
            "load_key": request.load_key,
            "target": request.target.in_database,
            "mode": request.mode.value,
            "params": request.params_sha256,
            "execution": request.execution_id,
            "effective": request.effective_time,
        },
    ).fetchone()
    return None if row is None else int(row[0])


def find_load(connection: psycopg.Connection, load_key: str) -> Loaded | None:
    """Return the committed load of that key, or None."""
    with connection.cursor(row_factory=class_row(Loaded)) as cursor:
        return cursor.execute(_FIND, {"load_key": load_key}).fetchone()


def read_load(url: str, database: str, load_key: str) -> Loaded | None:
    """Return the committed load of that key from a target; None also without a manifest.

    Raises TargetUnavailable when it cannot be asked.
    """
    with open_session(url, database, "jobu:manifest") as connection:
        (exists,) = one(connection, _EXISTS)
        return find_load(connection, load_key) if exists else None


def replaced_by(url: str, target: TableName, load_id: int) -> int | None:
    """Return the first load after ``load_id`` that replaced the target's rows, or None.

    Raises TargetUnavailable when it cannot be asked.
    """
    with open_session(url, target.database, "jobu:manifest") as connection:
        (exists,) = one(connection, _EXISTS)
        if not exists:
            return None
        (found,) = one(connection, _REPLACED, {"target": target.in_database, "load_id": load_id})
        return None if found is None else int(found)


def same_load(connection: psycopg.Connection, request: LoadRequest, source: Source) -> Loaded:
    """Return the load that holds the request's key.

    Raises LoadRefused when it was made from other bytes: the same execution must
    not stand for two inputs, and skipping would hide the second. A stream reads its
    file for that, without making rows of it.
    """
    found = find_load(connection, request.load_key)
    if found is None:
        msg = f"load {request.load_key} was there a moment ago and is gone; removed by hand?"
        raise LoadRefused(msg)
    if found.source_sha256 != source.input_sha256():
        msg = (
            f"{request.target}: load {found.load_id} of execution {found.execution_id} was made "
            "from another input; a changed file needs a new execution"
        )
        raise LoadRefused(msg)
    return found


def finish_load(connection: psycopg.Connection, load_id: int, rows: int, facts: Facts) -> None:
    """Complete the manifest row; the last write before commit."""
    connection.execute(
        _FINISH,
        {
            "load_id": load_id,
            "rows": rows,
            "rejected": facts.rejected,
            "source": facts.sha256,
        },
    )


def newer_exists(connection: psycopg.Connection, request: LoadRequest) -> bool:
    """Whether the table was loaded for a later effective time than the request's."""
    (found,) = one(
        connection,
        _NEWER,
        {
            "target": request.target.in_database,
            "effective": request.effective_time,
            "load_key": request.load_key,
        },
    )
    return bool(found)


def lock_target(connection: psycopg.Connection, request: LoadRequest) -> None:
    """Wait for other replaces of the same table; held until the transaction ends."""
    key = advisory_key("target", request.target.in_database)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))


def advisory_key(kind: str, name: str) -> int:
    """Return a 64-bit key of PostgreSQL's advisory locks for a named thing."""
    digest = hashlib.sha256(f"jobu:{kind}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
