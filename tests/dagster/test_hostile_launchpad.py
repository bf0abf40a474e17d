"""Whatever a person types into the Launchpad ends in a one-line failure, and changes no row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobu_core.models import NewExecution, ParamSource, Status, Trigger
from jobu_core.store.engine import transaction
from jobu_core.store.executions import get_execution, insert_executions, list_executions
from tests.dagster.test_by_hand import by_hand, failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dagster.test_by_hand import ByHand

__all__ = ["by_hand"]

TOKEN = "00000000-0000-4000-8000-000000000000"  # noqa: S105 - no password


def nested(depth: int) -> list[Any]:
    """Return lists inside each other."""
    document: list[Any] = []
    for _ in range(depth):
        document = [document]
    return document


HOSTILE: list[tuple[str, dict[str, Any], str]] = [
    ("sample_handler", {"token": TOKEN, "execution_ids": [2**63]}, "execution_ids"),
    ("sample_handler", {"token": TOKEN, "execution_ids": [-1]}, "execution_ids"),
    ("sample_handler", {"token": "' OR 1=1", "execution_ids": [1]}, "UUID"),
    ("pipeline", {"token": TOKEN, "execution_ids": [1, 2]}, "one execution"),
    ("sample_handler", {"cron": "x\0y"}, "no cron job"),
    ("sample_handler", {"cron": "\ud800"}, "no cron job"),
    ("sample_handler", {"cron": "x'; DROP TABLE cron_jobs; --"}, "no cron job"),
    ("sample_handler", {"params": {"a": "x\0y"}}, "holds NUL"),
    ("sample_handler", {"params": {"a": float("nan")}}, "does not fit in JSON"),
    ("sample_handler", {"params": {"a": nested(150)}}, "nested deeper"),
    ("sample_handler", {"params": {"a": "x" * 1_100_000}}, "the limit is"),
    (
        "db_loader",
        {"params": {"input_path": "/data/x", "target_table": "pg_catalog.pg_authid"}},
        "belongs to",
    ),
    (
        "db_loader",
        {"params": {"input_path": "/data/x", "target_table": 'x"; DROP TABLE cron_jobs; --'}},
        "is not a table name",
    ),
    (
        "db_loader",
        {"params": {"input_path": "/data/x", "target_table": "public.job_executions"}},
        "belongs to jobu",
    ),
]
"""Job, launch config, and what the answer must hold."""


def answers(by_hand: ByHand) -> Iterator[tuple[str, str]]:
    """Run each hostile config; yield what its answer must hold and the answer."""
    for job, config, said in HOSTILE:
        result = by_hand.run(job, config)
        yield said, "" if result.success else failure(result)


def test_a_hostile_launch_config_is_refused(by_hand: ByHand) -> None:
    """The step names in a short line what was wrong; nothing is dispatched."""
    wrong = [
        (said, answer[:200])
        for said, answer in answers(by_hand)
        if said not in answer or len(answer) > 2000
    ]
    assert wrong == []
    with transaction(by_hand.runtime.engine) as connection:
        assert list_executions(connection) == []


def test_a_guessed_id_executes_nothing(by_hand: ByHand) -> None:
    """Ids can be guessed, tokens cannot: somebody else's row stays as it is."""
    new = NewExecution("sample_handler", {}, ParamSource.EVENT, Trigger.EVENT)
    with transaction(by_hand.runtime.engine) as connection:
        (made,) = insert_executions(connection, [new])
    assert made is not None
    by_hand.run("sample_handler", {"execution_ids": [made]})
    by_hand.run("pipeline", {"token": TOKEN, "execution_ids": [made]})
    with transaction(by_hand.runtime.engine) as connection:
        assert get_execution(connection, made).status is Status.PENDING
