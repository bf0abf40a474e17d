"""Every use of Dagster's private API, in one place; tests/dagster/test_private.py names it.

Nothing else in jobu imports ``dagster._…``. Written against dagster 1.13.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from dagster._cli.api import _execute_run_command_body
from dagster._config import UserConfigSchema
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.errors import DagsterExecutionInterruptedError, DagsterRunAlreadyExists
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator.queued_run_coordinator import (
    QueuedRunCoordinator,
    RunQueueConfig,
)
from dagster._core.storage.sql import create_engine
from dagster._core.storage.tags import ROOT_RUN_ID_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import (
    ConfigurableClass,
    ConfigurableClassData,
    deserialize_value,
    serialize_value,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dagster import DagsterInstance

__all__ = [
    "LOCATION_NAME",
    "ROOT_RUN_ID_TAG",
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "DagsterExecutionInterruptedError",
    "DagsterRunAlreadyExists",
    "LaunchRunContext",
    "QueuedRunCoordinator",
    "RunLauncher",
    "RunQueueConfig",
    "UserConfigSchema",
    "WorkerStatus",
    "create_engine",
    "execute_run",
    "instance_from_text",
    "instance_to_text",
    "job_code_origin",
    "open_instance",
    "remote_job_origin",
]

LOCATION_NAME: Final = "jobu"
"""The code location's name in workspace.yaml; runs created directly carry it too."""

_MODULE: Final = "jobu_dagster.definitions"
_ATTRIBUTE: Final = "defs"
_REPOSITORY: Final = "__repository__"


def open_instance(root: Path) -> DagsterInstance:
    """Open the instance that ``{root}/dagster.yaml`` describes, without DAGSTER_HOME."""
    from dagster import DagsterInstance  # noqa: PLC0415 - slow import, only where needed

    home = root / ".jobu" / "dagster_home"
    home.mkdir(parents=True, exist_ok=True)
    ref = InstanceRef.from_dir(base_dir=str(home), config_dir=str(root))
    return DagsterInstance.from_ref(ref)


def instance_to_text(instance: DagsterInstance) -> str:
    """Serialize which instance this is, for a task message."""
    return serialize_value(instance.get_ref())


def instance_from_text(text: str) -> DagsterInstance:
    """Open the instance that a task message names."""
    from dagster import DagsterInstance  # noqa: PLC0415 - slow import, only where needed

    return DagsterInstance.from_ref(deserialize_value(text, as_type=InstanceRef))


def execute_run(instance: DagsterInstance, run_id: str) -> int:
    """Execute a run in this process; return 0, or 1 when it failed."""
    return _execute_run_command_body(run_id, instance, _ignore_event, True)


def _ignore_event(_event: object) -> None:
    """Events go to the event log; nobody reads them here."""


def job_code_origin(job_name: str, working_directory: str) -> JobPythonOrigin:
    """Return where a worker finds the code of ``job_name``."""
    pointer = ModuleCodePointer(_MODULE, _ATTRIBUTE, working_directory=working_directory)
    return JobPythonOrigin(job_name, RepositoryPythonOrigin(sys.executable, pointer))


def remote_job_origin(job_name: str, working_directory: str) -> RemoteJobOrigin:
    """Return what the UI knows ``job_name`` as, so that runs appear under their job."""
    target = LoadableTargetOrigin(
        executable_path=sys.executable,
        module_name=_MODULE,
        working_directory=working_directory,
    )
    location: Any = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION_NAME)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, _REPOSITORY), job_name)
