"""The simulated job store: a real PostgreSQL that can be away, and that writes its own history.

Every transaction of the product begins and commits through the stage; triggers
(of the simulation, not of jobu) note each change with who made it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg.rows import namedtuple_row

from jobu_core.store.engine import psycopg_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.actors import Stage

EPOCH: Final = datetime(2026, 3, 2, 8, 0, 30, tzinfo=UTC)
"""The store's time when a simulation begins."""

TABLES: Final = (
    *("job_executions", "cron_jobs", "dispatch_skips", "kafka_positions", "dead_letters"),
    *("offset_gaps", "workers", "audit_log"),
)

_HISTORY: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS sim_history (
  serial bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL,
  transaction text NOT NULL, actor text NOT NULL, source text NOT NULL, old jsonb, new jsonb);
CREATE TABLE IF NOT EXISTS sim_effects (
  root bigint PRIMARY KEY, execution_id bigint NOT NULL, attempt int NOT NULL);
CREATE OR REPLACE FUNCTION sim_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO sim_history (at, transaction, actor, source, old, new)
  VALUES (jobu_now(), pg_current_xact_id()::text,
          coalesce(current_setting('sim.actor', true), ''), TG_TABLE_NAME,
          CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
          CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
  RETURN NULL;
END $$;
"""

_WATCH: Final[LiteralString] = """
CREATE OR REPLACE TRIGGER sim_note AFTER INSERT OR UPDATE OR DELETE ON {}
FOR EACH ROW EXECUTE FUNCTION sim_note()
"""

_WATCHED: Final = (
    *("job_executions", "cron_jobs", "dispatch_skips", "kafka_positions", "dead_letters"),
    *("offset_gaps", "sim_effects"),
)

_READ: Final[LiteralString] = """
SELECT serial, at, transaction, actor, source, old, new FROM sim_history
 WHERE serial > %s ORDER BY serial
"""

_NEXT_DUE: Final[LiteralString] = """
SELECT extract(epoch FROM min(next_attempt_at) - %s) FROM job_executions WHERE status = 'PENDING'
"""

_ENTER: Final[LiteralString] = """
SELECT set_config('jobu.now', :now, false), set_config('sim.actor', :actor, false)
"""

_TOLD: Final = "simulation"
"""Where a connection keeps what it was told; a roll-back makes it forget."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row as it was and became, in whose transaction, at what time of the store."""

    serial: int
    at: datetime
    transaction: str
    actor: str
    owned: str
    """The attempt that the actor executed then, as ``execution/token/attempt``."""
    table: str
    old: dict[str, Any]
    new: dict[str, Any]


@dataclass
class SimulatedStore:
    """An engine for the product, and a view of the truth for the simulation."""

    url: str
    stage: Stage
    seconds: float = 0.0
    """How far the store's time is from its beginning."""
    is_down: bool = False
    engine: sa.Engine = field(init=False)
    _truth: psycopg.Connection[Any] = field(init=False)
    _read_to: int = 0
    _is_written: bool = True
    """Whether anything was written since the history was last read."""

    def __post_init__(self) -> None:
        """Connect, and let the tables note their changes."""
        self.engine = sa.create_engine(
            psycopg_url(self.url),
            pool_size=40,
            hide_parameters=True,
            connect_args={"options": "-c timezone=UTC", "prepare_threshold": 2},
        )
        sa.event.listen(self.engine, "begin", self._begin)
        sa.event.listen(self.engine, "commit", self._commit)
        sa.event.listen(self.engine, "rollback", self._rollback)
        sa.event.listen(self.engine, "after_cursor_execute", self._executed)
        url = psycopg_url(self.url).set(drivername="postgresql")
        text = url.render_as_string(hide_password=False)
        self._truth = psycopg.connect(text, autocommit=True, options="-c timezone=UTC")
        self._truth.execute(_HISTORY)
        for table in _WATCHED:
            self._truth.execute(psycopg.sql.SQL(_WATCH).format(psycopg.sql.Identifier(table)))

    @property
    def now(self) -> datetime:
        """What ``jobu_now()`` answers."""
        return EPOCH + timedelta(seconds=self.seconds)

    def clear(self) -> None:
        """Forget everything: a new simulation begins."""
        names = psycopg.sql.SQL(", ").join(
            psycopg.sql.Identifier(name) for name in (*TABLES, "sim_history", "sim_effects")
        )
        self._truth.execute(psycopg.sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
        self._truth.execute("DELETE FROM jobu_meta WHERE key = 'code_version'")
        self.seconds, self.is_down, self._read_to = 0.0, False, 0
        self._is_written = True

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._truth.close()

    def changes(self) -> list[Change]:
        """Return what was committed since the last call, in order."""
        if not self._is_written:
            return []
        self._is_written = False
        rows = self._truth.execute(_READ, (self._read_to,)).fetchall()
        if rows:
            self._read_to = rows[-1][0]
        return [_change(row) for row in rows]

    def ask(self, statement: LiteralString, *values: object) -> Sequence[Any]:
        """Read the truth, whatever state the simulated server is in."""
        with self._truth.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement, values).fetchall()

    def next_due(self) -> float | None:
        """Return in how many seconds the first waiting execution is due, if one waits."""
        ((seconds,),) = self.ask(_NEXT_DUE, self.now)
        return None if seconds is None else float(seconds)

    def rewind_ids(self, by: int) -> None:
        """Set the sequence of execution ids back, as a restored backup may."""
        self._truth.execute(
            "SELECT setval('job_executions_id_seq', greatest(1, last_value - %s))"
            " FROM job_executions_id_seq",
            (by,),
        )

    def _begin(self, connection: sa.Connection) -> None:
        self.stage.point("begin")
        actor = self.stage.current
        if self.is_down and actor is not None:
            raise psycopg.OperationalError("the simulated server is away")
        if actor is not None:
            actor.in_transaction = True
        who = "simulation" if actor is None else f"{actor.label}|{actor.owns}"
        self._enter(connection, who)

    def _enter(self, connection: sa.Connection, who: str) -> None:
        """Tell the session what time it is and who acts, unless it knows."""
        told = {"now": self.now.isoformat(), "actor": who}
        if connection.info.get(_TOLD) != told:
            connection.execute(sa.text(_ENTER), told)
            connection.info[_TOLD] = told

    def _commit(self, connection: sa.Connection) -> None:
        actor = self.stage.current
        if actor is None:
            return
        self.stage.point("commit")
        if self.stage.cut_now():
            if actor.cut_is_committed:
                self._commit_behind_its_back(connection)
            actor.in_transaction = False
            raise psycopg.OperationalError("the simulated connection was cut at COMMIT")
        if actor.dies_in == 1:  # the commit is done, and nobody is left to know it
            self._commit_behind_its_back(connection)
            self.stage.point("committed")
        actor.in_transaction = False

    def _commit_behind_its_back(self, connection: sa.Connection) -> None:
        connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]

    def _executed(self, _connection: sa.Connection, cursor: Any, *_rest: object) -> None:  # noqa: ANN401 - a driver's cursor
        if not str(cursor.statusmessage).startswith("SELECT"):
            self._is_written = True

    def _rollback(self, connection: sa.Connection) -> None:
        connection.info.pop(_TOLD, None)
        actor = self.stage.current
        if actor is not None:
            actor.in_transaction = False


def _change(row: tuple[Any, ...]) -> Change:
    serial, at, transaction, who, table, old, new = row
    actor, _, owned = who.partition("|")
    return Change(serial, at, transaction, actor, owned, table, old or {}, new or {})
