"""Rejects, corrected and loaded again, on a system that runs whatever is pending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from jobu_core.execution.rejected import opened_inputs, rejected_of
from jobu_core.execution.reload import params_of, reload_rejected
from jobu_core.pipeline.corrections import export_rejected

if TYPE_CHECKING:
    from pathlib import Path

    from jobu_core.execution.reload import Reload
    from jobu_core.models import Execution
    from tests.fix_aftermath import Aftermath

Row = tuple[Any, ...]


class Reloading:
    """A file that was loaded, its rejects, and the table."""

    def __init__(self, system: Aftermath) -> None:
        """Load nothing yet."""
        self.system = system
        self.folder = system.site.root

    def load(self, text: str, **params: Any) -> Execution:  # noqa: ANN401 - params of pipeline
        """Run the pipeline on a file until nothing is pending."""
        self.write("in.csv", text)
        given = {"dataset": "sample", "input_path": "/data/raw/in.csv", **params}
        return self.run(handler_name="pipeline", params=given)

    def run(self, **values: Any) -> Execution:  # noqa: ANN401 - fields of NewExecution
        """Insert a row, run it until nothing is pending, and return it."""
        row_id = self.system.jobs.add(max_attempts=1, **values)
        return self.settled(row_id)

    def settled(self, row_id: int) -> Execution:
        """Return a row once nothing is pending."""
        self.system.settle()
        return self.system.jobs.row(row_id)

    def write(self, name: str, text: str) -> Path:
        """Write the file that is loaded."""
        path = self.folder / "data" / "raw" / name
        path.write_text(text, encoding="utf-8")
        return path

    def export(self, execution: Execution, name: str = "out.csv") -> str:
        """Export the rejects and return the text."""
        runtime, output = self.system.runtime, self.folder / name
        rejected = rejected_of(runtime, execution)
        _, csv = params_of(runtime, execution)
        with opened_inputs(runtime, rejected) as sources:
            export_rejected(sources, rejected, csv=csv, output=output)
        text = output.read_text(encoding=csv.encoding)
        output.unlink()
        return text

    def reload(self, execution: Execution, text: str, *, encoding: str = "utf-8") -> Reload:
        """Reload a corrected file; what it makes is pending."""
        corrected = self.folder / f"corrected-{uuid4().hex}.csv"
        corrected.write_text(text, encoding=encoding)
        return reload_rejected(
            self.system.runtime, execution.id, corrected, name=corrected.name, who="anna"
        )

    @property
    def table(self) -> list[Row]:
        """The rows that landed."""
        return self.system.target.rows("SELECT id, name, value FROM sample ORDER BY id, name")
