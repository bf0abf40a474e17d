"""What a person asks for, each in a process of its own: cancel, retry, run by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobu_core.execution.adopt import adopt_params, adopt_pending, adopt_rerun
from jobu_core.execution.cancel import cancel_execution, request_cancel_of_run
from jobu_core.execution.reload import reload_rejected
from jobu_core.execution.retry import retry_execution

if TYPE_CHECKING:
    from tests.crash.site import Site


def cancel(site: Site, execution_id: int) -> None:
    """Cancel one execution."""
    with site.opened() as runtime:
        cancel_execution(runtime.engine, execution_id, who="anna", reason="enough")


def cancel_run(site: Site, run_id: str) -> None:
    """Cancel all that a run carries."""
    with site.opened() as runtime:
        request_cancel_of_run(runtime.engine, run_id, token=None, reason="terminated")


def retry(site: Site, execution_id: int) -> None:
    """Run an ended execution again."""
    with site.opened() as runtime:
        retry_execution(runtime.engine, execution_id, who="anna")


def rerun(site: Site, execution_id: int, run_id: str) -> None:
    """Be a re-executed run that looks for its execution."""
    with site.opened() as runtime:
        adopt_rerun(runtime, execution_id, run_id)


def run_by_hand(site: Site, run_id: str) -> None:
    """Be a Launchpad run with params."""
    with site.opened() as runtime:
        adopt_params(runtime, "sample_handler", {"by": "hand"}, run_id)


def run_waiting(site: Site, execution_id: int, run_id: str) -> None:
    """Be a Launchpad run of a cron job whose execution has just been made."""
    with site.opened() as runtime:
        adopt_pending(runtime, execution_id, run_id)


def reload(site: Site, execution_id: int) -> None:
    """Load what was corrected in ``corrected.csv``."""
    with site.opened() as runtime:
        corrected = site.root / "corrected.csv"
        reload_rejected(runtime, execution_id, corrected, name=corrected.name, who="anna")
