"""All settings as one frozen object, and where they are looked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from jobu_core.config.buckets import BucketName, BucketSettings
from jobu_core.config.datasets import DatasetSettings
from jobu_core.config.sections import (
    AdminSettings,
    DatabaseSettings,
    DispatcherSettings,
    HandlersSettings,
    KafkaSettings,
    QueueSettings,
    Stack,
    WorkerSettings,
)
from jobu_core.config.sources import read_folder, suggest
from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_SETTINGS: Final = frozenset(
    {"JOBU_ROOT", "JOBU_REQUIRE_SERVICES", "JOBU_DATABASE_URL", "JOBU_BROKER_URL"}
)


class Settings(BaseSettings):
    """Everything that can be configured; build it with ``load_settings``."""

    model_config = SettingsConfigDict(
        env_prefix="JOBU_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
    )

    root: Path
    """The project's folder: holds ``config/``, ``.jobu/`` and relative paths."""
    stack: Stack = Stack.EMBEDDED
    databases: dict[str, DatabaseSettings] = Field(
        default_factory=lambda: {"default": DatabaseSettings()},
    )
    queue_dispatcher: QueueSettings = QueueSettings()
    kafka: KafkaSettings = KafkaSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    worker: WorkerSettings = WorkerSettings()
    admin: AdminSettings = AdminSettings()
    handlers: HandlersSettings = HandlersSettings()
    s3_buckets: dict[BucketName, BucketSettings] = Field(default_factory=dict)
    """Bucket → how it is reached; ``s3://`` paths of others are refused."""
    datasets: dict[str, DatasetSettings] = Field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        """``.jobu/``: embedded data, sockets, pids, logs."""
        return self.root / ".jobu"

    @property
    def on_recreate(self) -> str:
        """What to do when the topic was recreated, default of the stack applied."""
        chosen = self.queue_dispatcher.on_recreate
        if chosen is not None:
            return chosen
        return "new_generation" if self.stack is Stack.EMBEDDED else "stop"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - idem
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - idem
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the files."""
        return env_settings, init_settings


def find_root(environ: Mapping[str, str] | None = None, start: Path | None = None) -> Path:
    """Return the project's folder: ``JOBU_ROOT``, else the nearest with ``config/``.

    Looks upwards from ``start`` (the working directory); falls back to it.
    """
    named = (os.environ if environ is None else environ).get("JOBU_ROOT")
    if named:
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "config" / "database.yaml").is_file():
            return folder
    return here


def load_settings(root: Path | None = None) -> Settings:
    """Read ``{root}/config/*.yaml`` and the environment.

    Raises ConfigError that names the file or variable, the key and what to do.
    """
    folder = find_root() if root is None else root.resolve()
    _refuse_unknown_variables(os.environ)
    values = read_folder(folder / "config", os.environ)
    try:
        return Settings(root=folder, **values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    except SettingsError as error:
        msg = f"configuration: {error}: a list or group in the environment must be JSON"
        raise ConfigError(msg) from None
    except RecursionError:
        msg = "configuration: a list or group in the environment must be JSON, and not so deep"
        raise ConfigError(msg) from None


def _explain(error: ValidationError) -> str:
    """Say each problem with its dotted key, the nearest known name, no values."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(problem["loc"][:-1])
            lines.append(f"{where}: unknown key{suggest(str(problem['loc'][-1]), known)}")
        else:
            lines.append(f"{where}: {problem['msg']}")
    return "configuration: " + "; ".join(lines)


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    model: Any = Settings
    for part in path:
        if get_origin(model) is dict:  # the part is a name of the user's
            model = get_args(model)[1]
            continue
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        info = model.model_fields.get(str(part))
        if info is None:
            return []
        model = info.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        return list(model.model_fields)
    return []


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    sections = [f"JOBU_{name.upper()}" for name in Settings.model_fields]
    for variable in environ:
        if not variable.startswith("JOBU_") or variable in _NOT_SETTINGS:
            continue
        head = variable.split("__", 1)[0]
        if head not in sections:
            msg = f"environment variable {variable} is no setting{suggest(head, sections)}"
            raise ConfigError(msg)
