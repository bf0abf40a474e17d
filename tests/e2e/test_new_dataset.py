"""A new user's path: a CSV never seen before → init → try → edit → event → rows in the table.

Only what a person does: commands, and corrections in the files that init wrote.
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from jobu_core.services.endpoints import endpoints
from jobu_core.services.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.config import Settings

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("stack")]

ROWS = 200


def jobu(root: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run ``jobu`` in the project's folder as a person would."""
    done = subprocess.run(
        [sys.executable, "-m", "jobu_admin.cli", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(root: Path, *words: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON's own shapes
    """Return what ``jobu … --json`` printed."""
    return json.loads(jobu(root, *words, "--json", code=code).stdout)


def edit(path: Path, old: str, new: str) -> None:
    """Correct one place of a file by hand."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, text
    path.write_text(text.replace(old, new), encoding="utf-8")


def write_orders(root: Path) -> None:
    """Write what a shop exports: cp949, semicolons, Hangul, two cells that say "unknown"."""
    lines = ["주문 번호;Kunde;Amount;Ordered At;ZIP"]
    for number in range(1, ROWS + 1):
        amount = "n/v" if number in {7, 9} else f"{number}.{number % 100:02}"
        lines.append(f"{number};고객 {number};{amount};2026-11-{number % 28 + 1:02};{number:05}")
    path = root / "data" / "raw" / "orders_2026-11.csv"
    path.write_bytes("\n".join([*lines, ""]).encode("cp949"))


def test_a_csv_never_seen_before_becomes_rows_in_a_table(embedded: Settings) -> None:
    """Two cells are no numbers: try names them, two corrections later every row lands."""
    root = embedded.root
    write_orders(root)
    jobu(root, "datasets", "init", "data/raw/orders_2026-11.csv")

    first = answer(root, "datasets", "try", "data/raw/orders_2026-11.csv", "--dataset", "orders")
    assert (first["valid"], first["rejected"]) == (ROWS - 2, 2)
    told = [(each["row_number"], each["field"], each["value"]) for each in first["rejects"]]
    assert told == [(7, "amount", None), (9, "amount", None)]

    edit(root / "my_jobs" / "orders.py", "decimal_places=2)]", "decimal_places=2)] | None")
    edit(
        root / "config" / "datasets.yaml",
        "      encoding: cp949\n",
        "      encoding: cp949\n      null_values: [n/v]\n",
    )
    second = answer(root, "datasets", "try", "data/raw/orders_2026-11.csv")
    assert (second["dataset"], second["valid"], second["rejected"]) == ("orders", ROWS, 0)
    assert (second["load"]["how"], second["problems"]) == ("create", [])

    jobu(root, "up")
    jobu(root, "events", "send", "--file", "my_jobs/orders.event.json")

    def ended() -> bool:
        listed = answer(root, "executions", "list")
        return [each["status"] for each in listed] == ["SUCCESS"]

    assert wait_until(ended, seconds=120, poll_seconds=1), jobu(root, "executions", "list").stdout
    with psycopg.connect(endpoints(embedded).database_url) as connection:
        rows = connection.execute(
            'SELECT "주문_번호", kunde, amount, ordered_at::text, zip FROM orders ORDER BY 1'
        ).fetchall()
    assert len(rows) == ROWS
    assert rows[6] == (7, "고객 7", None, "2026-11-08", "00007")
    assert rows[99] == (100, "고객 100", Decimal("100.00"), "2026-11-17", "00100")
