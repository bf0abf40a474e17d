"""A file lands in a table once, whole or not at all."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest

from jobu_core.errors import (
    DataError,
    FenceLost,
    FileError,
    LoadRefused,
    TargetBusy,
    TargetUnavailable,
)
from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome
from tests.load_bench import NOON, items, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.load_bench import Bench

ITEMS = "CREATE TABLE items (id bigint PRIMARY KEY, name text, value double precision)"


def test_rows_land_and_the_manifest_counts_them(bench: Bench) -> None:
    """An append leaves the file's rows and one manifest row with the same count."""
    bench.run(ITEMS)
    result = load_parquet(bench.request(items(1000), rejected=3))
    assert (result.outcome, result.rows, result.rejected) == (Outcome.LOADED, 1000, 3)
    assert bench.rows("SELECT count(*), sum(id), min(name), sum(value) FROM items") == [
        (1000, 500_500, "item 1", 125_125.0),
    ]
    assert bench.rows("SELECT load_id, target, mode, rows, rejected FROM jobu_loads") == [
        (result.load_id, "public.items", "append", 1000, 3),
    ]


def test_a_second_attempt_loads_nothing(bench: Bench) -> None:
    """The next attempt of an execution finds the manifest and returns its counts."""
    bench.run(ITEMS)
    first = load_parquet(bench.request(items(10)))
    again = load_parquet(bench.request(items(10), attempt=2))
    assert again.outcome is Outcome.ALREADY_LOADED
    assert (again.rows, again.load_id) == (10, first.load_id)
    assert bench.count("items") == 10


def test_an_operators_retry_counts_as_the_same_load(bench: Bench) -> None:
    """A new execution with the same root does not load a second time."""
    bench.run(ITEMS)
    load_parquet(bench.request(items(10)))
    retry = load_parquet(bench.request(items(10), execution_id=2, root_execution_id=1))
    assert retry.outcome is Outcome.ALREADY_LOADED
    assert bench.count("items") == 10


def test_another_execution_appends(bench: Bench) -> None:
    """Two executions with the same file are two loads."""
    bench.run("CREATE TABLE items (id bigint, name text, value double precision)")
    load_parquet(bench.request(items(10)))
    load_parquet(bench.request(items(10), execution_id=2))
    assert bench.count("items") == 20


def test_same_key_with_other_bytes_is_refused(bench: Bench) -> None:
    """A changed input under the same execution is an error, never a silent skip."""
    bench.run(ITEMS)
    load_parquet(bench.request(items(10)))
    with pytest.raises(LoadRefused, match="another input"):
        load_parquet(bench.request(items(11), attempt=2))


def test_a_concurrent_loader_of_the_same_key_waits_and_gets_no_row(bench: Bench) -> None:
    """While one attempt is about to commit, a second one waits, then skips."""
    bench.run(ITEMS)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(10)

    path = bench.file(items(10))
    results: list[Outcome] = []

    def load(**changes: Any) -> None:  # noqa: ANN401 - fields of LoadRequest
        results.append(load_parquet(bench.request(path, **changes)).outcome)

    first = threading.Thread(target=load, kwargs={"check_lease": hold})
    second = threading.Thread(target=load)
    first.start()
    assert entered.wait(10)
    second.start()
    wait_until(
        lambda: bool(
            bench.value(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()",
            ),
        ),
    )
    leave.set()
    first.join(10)
    second.join(10)
    assert sorted(results) == [Outcome.ALREADY_LOADED, Outcome.LOADED]
    assert bench.count("items") == 10


def test_a_loader_that_waits_too_long_is_busy(bench: Bench) -> None:
    """A manifest row held by somebody else ends in a deferral, not in an error."""
    bench.run(ITEMS)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        assert leave.wait(10)

    path = bench.file(items(10))
    first = threading.Thread(
        target=lambda: load_parquet(bench.request(path, check_lease=hold)),
    )
    first.start()
    assert entered.wait(10)
    with pytest.raises(TargetBusy, match="lock not available"):
        load_parquet(bench.request(path, lock_wait_seconds=0.1))
    leave.set()
    first.join(10)


def test_a_killed_connection_leaves_nothing(bench: Bench) -> None:
    """A backend that dies in the middle leaves no rows, no manifest row, no table."""
    bench.run(ITEMS)

    def kill() -> None:
        bench.run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'jobu:1:1' AND datname = current_database()",
        )

    for mode in Mode:
        with pytest.raises(TargetUnavailable):
            load_parquet(bench.request(items(1000), check_lease=kill, mode=mode, keys=("id",)))
        assert bench.count("items") == 0
        assert bench.count("jobu_loads") == 0
        assert bench.value("SELECT count(*) FROM pg_class WHERE relname ~ '^jobu_new'") == 0
    assert load_parquet(bench.request(items(1000), attempt=2)).outcome is Outcome.LOADED


def test_the_next_attempt_ends_the_older_ones_connection(bench: Bench) -> None:
    """A zombie that still holds its transaction is terminated by the attempt after it."""
    bench.run(ITEMS)
    entered, leave = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def hold() -> None:
        entered.set()
        assert leave.wait(10)

    path = bench.file(items(10))

    def zombie() -> None:
        try:
            load_parquet(bench.request(path, check_lease=hold))
        except TargetUnavailable as error:
            failed.append(error)

    thread = threading.Thread(target=zombie)
    thread.start()
    assert entered.wait(10)
    assert load_parquet(bench.request(path, attempt=2)).outcome is Outcome.LOADED
    leave.set()
    thread.join(10)
    assert failed
    assert bench.count("items") == 10


def test_another_installations_load_is_left_alone(bench: Bench) -> None:
    """An execution of the same id in another installation is no older attempt of ours."""
    bench.run(ITEMS)
    entered, leave = threading.Event(), threading.Event()
    results: list[Outcome] = []

    def hold() -> None:
        entered.set()
        assert leave.wait(10)

    path = bench.file(items(10))
    other = bench.request(path, check_lease=hold, installation="other")
    thread = threading.Thread(target=lambda: results.append(load_parquet(other).outcome))
    thread.start()
    assert entered.wait(10)
    load_parquet(bench.request(bench.file(items(10, start=100), "b.parquet"), attempt=2))
    leave.set()
    thread.join(10)
    assert results == [Outcome.LOADED]


def test_a_lost_lease_stops_the_commit(bench: Bench) -> None:
    """The lease is asked just before commit; without it nothing is left behind."""
    bench.run(ITEMS)

    def lost() -> None:
        raise FenceLost("attempt 2 owns it")

    with pytest.raises(FenceLost):
        load_parquet(bench.request(items(10), check_lease=lost))
    assert (bench.count("items"), bench.count("jobu_loads")) == (0, 0)


def test_the_manifest_decides_when_commit_lost_its_connection(bench: Bench) -> None:
    """A load whose COMMIT was carried out but not heard of is a success."""
    bench.run(ITEMS)
    request = bench.request(items(10))
    with _deaf_commit():
        result = load_parquet(request)
    assert result.outcome is Outcome.ALREADY_LOADED
    assert (result.rows, bench.count("items")) == (10, 10)


def test_the_manifest_table_is_created_by_many_at_once(bench: Bench) -> None:
    """Ten first loads of a fresh database race for jobu_loads and all succeed."""
    bench.run("CREATE TABLE items (id bigint, name text, value double precision)")
    path = bench.file(items(5))
    results: list[Outcome] = []
    threads = [
        threading.Thread(
            target=lambda number=number: results.append(
                load_parquet(bench.request(path, execution_id=number)).outcome,
            ),
        )
        for number in range(1, 11)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [Outcome.LOADED] * 10
    assert bench.count("items") == 50


def test_an_empty_append_is_a_load_of_no_rows(bench: Bench) -> None:
    """Zero rows appended are zero rows, with a manifest row."""
    bench.run(ITEMS)
    result = load_parquet(bench.request(items(0)))
    assert (result.outcome, result.rows) == (Outcome.LOADED, 0)


def test_hidden_columns_are_not_sent(bench: Bench) -> None:
    """The hidden row number column stays in the file."""
    bench.run(ITEMS)
    numbered = items(3).append_column("__jobu_row", pa.array([1, 2, 3]))
    load_parquet(bench.request(numbered, hidden=("__jobu_row",)))
    assert bench.count("items") == 3


def test_a_refused_value_is_told_without_the_value(bench: Bench) -> None:
    """A server error names kind and constraint, never what is in the cell."""
    bench.run("CREATE TABLE items (id bigint, name text CHECK (name <> 'item 2'), value float8)")
    with pytest.raises(DataError, match=r"check violation .*items_name_check") as caught:
        load_parquet(bench.request(items(3)))
    assert "item 2" not in str(caught.value)
    assert bench.count("items") == 0


def test_a_trigger_that_drops_rows_fails_the_load(bench: Bench) -> None:
    """Read, sent and landed must be equal."""
    bench.run(
        ITEMS,
        "CREATE FUNCTION drop_one() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF new.id = 2 THEN RETURN NULL; END IF; RETURN new; END$$",
        "CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION drop_one()",
    )
    with pytest.raises(LoadRefused, match="3 rows in the file, 2 landed"):
        load_parquet(bench.request(items(3)))
    assert bench.count("items") == 0


def test_an_unreachable_database_is_an_outage(bench: Bench) -> None:
    """A connection that is refused is to be retried, not blamed on the data."""
    request = bench.request(items(1), url="postgresql://nobody:secret@127.0.0.1:1/x")
    with pytest.raises(TargetUnavailable) as caught:
        load_parquet(request)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_parquet_is_named(bench: Bench) -> None:
    """The error of a CSV given to the loader names the file."""
    path = bench.folder / "rows.csv"
    path.write_text("id,name\n1,a\n")
    with pytest.raises(FileError, match=r"rows\.csv: is not a Parquet file"):
        load_parquet(bench.request(path))


def test_the_load_key_names_installation_root_and_table(bench: Bench) -> None:
    """The key is the documented one, so that operators can find a load."""
    bench.run(ITEMS)
    result = load_parquet(bench.request(items(1), execution_id=7))
    assert result.load_key == ("11111111-2222-3333-4444-555555555555:7:load:default.public.items")
    assert bench.rows("SELECT load_key, execution_id, effective_time FROM jobu_loads") == [
        (result.load_key, 7, NOON.astimezone(dt.UTC)),
    ]


@contextmanager
def _deaf_commit() -> Iterator[None]:
    """Let COMMIT happen on the server and then tell the client that it broke."""
    original = psycopg.Connection.transaction

    @contextmanager
    def transaction(
        connection: psycopg.Connection, *args: object, **kwargs: object
    ) -> Iterator[object]:
        nested = connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        manifest = False
        with original(connection, *args, **kwargs) as opened:  # type: ignore[arg-type]
            yield opened
            if not nested:
                found = connection.execute(
                    "SELECT to_regclass('public.jobu_loads') IS NOT NULL",
                ).fetchone()
                manifest = found == (True,)
        loaded = manifest and connection.execute("SELECT count(*) FROM jobu_loads").fetchone()
        if loaded == (1,):
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "transaction", transaction)
        yield
