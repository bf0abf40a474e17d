"""The first rows of a Parquet as a table that cannot be anything but text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from jobu_core.pipeline.preview import preview_markdown

if TYPE_CHECKING:
    from pathlib import Path


def shown(folder: Path, table: pa.Table) -> list[str]:
    """Return the lines of a table's preview."""
    path = folder / "rows.parquet"
    pq.write_table(table, path)
    return preview_markdown(path).splitlines()


def test_the_first_rows_are_shown_without_jobus_own_column(tmp_path: Path) -> None:
    """Five of them; null is empty."""
    rows = list(range(9))
    lines = shown(tmp_path, pa.table({"__jobu_row": rows, "a": rows, "b": [None, *rows[1:]]}))
    assert lines[:4] == ["| a | b |", "| --- | --- |", "| 0 |  |", "| 1 | 1 |"]
    assert len(lines) == 7


def test_cells_are_text_in_one_line_never_markup(tmp_path: Path) -> None:
    """Bars, newlines, tags, links, code: all of it as it is."""
    hostile = "a|b\r\n<script>x</script> ![i](http://h/x) `c` **d** \\"
    lines = shown(tmp_path, pa.table({"a|b": [hostile]}))
    assert lines[0] == r"| a\|b |"
    assert lines[2] == (
        r"| a\|b &lt;script&gt;x&lt;/script&gt; \!\[i\](http://h/x) \`c\` \*\*d\*\* \\ |"
    )


def test_long_cells_and_many_columns_are_cut(tmp_path: Path) -> None:
    """The event log is no place for a megabyte."""
    lines = shown(tmp_path, pa.table({f"c{at}": ["x" * 1000] for at in range(60)}))
    assert lines[0].count("|") == 52
    assert lines[2].startswith(f"| {'x' * 100}… |")
    assert len(lines[2]) < 6000


def test_a_file_without_rows_has_a_header(tmp_path: Path) -> None:
    """There is still something to see."""
    assert shown(tmp_path, pa.table({"a": pa.array([], pa.int64())})) == ["| a |", "| --- |"]
