"""A load with its connection to the target cut at every message: the rows are there once."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

import pytest

from jobu_core.pipeline.load.postgres import load_parquet
from jobu_core.pipeline.load.request import Mode, Outcome, Strategy
from tests.fix_proxy import Cut
from tests.load_bench import items
from tests.outage.sweep import cut_everywhere

if TYPE_CHECKING:
    from tests.fix_proxy import Proxy
    from tests.load_bench import Bench

ITEMS: LiteralString = "CREATE TABLE items (id bigint PRIMARY KEY, name text, value float8)"


@pytest.mark.rule(5)
@pytest.mark.parametrize(
    ("mode", "strategy"),
    [
        (Mode.APPEND, Strategy.AUTO),
        (Mode.REPLACE, Strategy.DELETE),
        pytest.param(Mode.REPLACE, Strategy.SWAP, marks=pytest.mark.long),
    ],
)
def test_a_load_is_committed_once_wherever_it_is_cut(
    bench: Bench,
    proxy: Proxy,
    mode: Mode,
    strategy: Strategy,
) -> None:
    """The attempt after it finds all or nothing, and the manifest tells which."""
    bench.run(ITEMS)
    path = bench.file(items(3))
    execution = 0

    def request(attempt: int, url: str) -> object:
        return load_parquet(
            bench.request(
                path,
                mode=mode,
                strategy=strategy,
                url=url,
                execution_id=execution,
                attempt=attempt,
            ),
        )

    def arrange() -> None:
        nonlocal execution
        execution += 1
        if mode is Mode.APPEND:
            bench.run("TRUNCATE items")

    def act() -> None:
        request(1, proxy.url(bench.url))

    def settle() -> None:
        request(2, bench.url)
        assert bench.rows("SELECT id FROM items ORDER BY id") == [(1,), (2,), (3,)]
        loads = bench.rows("SELECT execution_id, rows FROM jobu_loads ORDER BY load_id")
        assert loads == [(number, 3) for number in range(1, execution + 1)]

    assert cut_everywhere(proxy, act, settle, arrange, ways=Cut) > 30


@pytest.mark.rule(5)
def test_a_load_whose_commit_got_no_answer_is_a_success_at_once(
    bench: Bench,
    proxy: Proxy,
) -> None:
    """The manifest is asked over a new connection; no second attempt is spent."""
    bench.run(ITEMS, "CREATE TABLE others (LIKE items)")
    load_parquet(bench.request(items(1), "others"))  # makes the manifest
    request = bench.request(items(3), url=proxy.url(bench.url))
    proxy.arm_at(b"\x0bCOMMIT\0", Cut.AFTER)
    assert load_parquet(request).outcome is Outcome.ALREADY_LOADED
    assert proxy.disarm()
    assert bench.count("items") == 3
