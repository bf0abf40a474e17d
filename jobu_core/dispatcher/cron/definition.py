"""What a person may save as a cron job, and the checks before it is saved. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobu_core.config.sources import suggest
from jobu_core.dispatcher.cron.fire_times import FireTimes, validate
from jobu_core.dispatcher.cron.templates import Moment, check, render
from jobu_core.errors import InvalidCron, InvalidInput, InvalidParams
from jobu_core.models import DstPolicy, MisfirePolicy, OverlapPolicy
from jobu_core.store.documents import MAX_PARAMS_BYTES, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobu_core.config import DispatcherSettings
    from jobu_core.dispatcher.catalog import HandlerCatalog
    from jobu_core.models import CronJob

_INT4_MAX: Final = 2**31 - 1

Seconds = Annotated[int, Field(ge=0, le=_INT4_MAX)]


class CronJobSpec(BaseModel):
    """The part of a cron job that a person decides; build it with ``spec_of``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=255)]
    description: str = ""
    cron_expression: Annotated[str, Field(min_length=1, max_length=255)]
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """IANA name; the expression is read on this zone's wall clock."""
    handler_name: Annotated[str, Field(min_length=1, max_length=255)]
    handler_params: dict[str, Any] = Field(default_factory=dict)
    is_enabled: bool = True
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    misfire_policy: MisfirePolicy = MisfirePolicy.LATEST
    misfire_grace_seconds: Seconds = 3600
    """A missed occurrence older than this never runs."""
    dst_policy: DstPolicy = DstPolicy.STANDARD
    max_retry: Annotated[int, Field(ge=0, lt=_INT4_MAX)] = 3
    """Attempts after the first; 0 = one attempt."""
    retry_backoff_seconds: Seconds = 10
    timeout_seconds: Annotated[int, Field(ge=1, le=_INT4_MAX)] = 3600

    @field_validator("name")
    @classmethod
    def _name_is_no_id(cls, name: str) -> str:
        """Keep names and ids apart, so that a command can take either."""
        if name.isdecimal() or name != name.strip() or not name.isprintable():
            msg = "must be printable, without blanks at its ends, and not only digits"
            raise ValueError(msg)
        return name

    @field_validator("description")
    @classmethod
    def _description_is_text(cls, description: str) -> str:
        if not _is_storable(description):
            msg = "must not hold NUL or lone surrogates"
            raise ValueError(msg)
        return description


def spec_of(values: Mapping[str, Any]) -> CronJobSpec:
    """Return ``values`` as a spec; raises InvalidCron naming each field at fault."""
    try:
        return CronJobSpec.model_validate(dict(values))
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            where = ".".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                text = f"unknown field{suggest(where, CronJobSpec.model_fields)}"
            problems.append(f"{where}: {text}")
        raise InvalidCron("; ".join(problems)) from None


def decided_by_people(job: CronJob) -> dict[str, Any]:
    """Return the fields of a saved job that a spec has."""
    return {name: getattr(job, name) for name in CronJobSpec.model_fields}


def saved_spec(job: CronJob) -> CronJobSpec:
    """Return the spec that a saved job has; raises as ``spec_of`` does."""
    return spec_of(decided_by_people(job))


def check_spec(
    spec: CronJobSpec,
    catalog: HandlerCatalog,
    settings: DispatcherSettings,
    now: datetime,
) -> FireTimes:
    """Return the fire times of ``spec`` if it may be saved; ``now`` samples its templates.

    Raises InvalidCron, InvalidParams, or UnknownHandler.
    """
    times = validate(
        spec.cron_expression,
        spec.timezone,
        spec.dst_policy,
        min_interval_seconds=settings.min_cron_interval_seconds,
    )
    _check_storable(spec.handler_params)
    check(spec.handler_params)
    fire = times.next_after(now)
    moment = Moment(spec.name, times.zone, fire or now, times.previous(fire or now), fire or now)
    _accept(catalog, spec.handler_name, render(spec.handler_params, moment))
    return times


def _accept(catalog: HandlerCatalog, handler_name: str, params: Mapping[str, Any]) -> None:
    try:
        catalog.validate(handler_name, params)
    except InvalidInput:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        msg = f"the check of params by {handler_name!r} ended with {type(error).__name__}"
        raise InvalidParams(msg) from error


def _check_storable(params: Mapping[str, Any]) -> None:
    """Refuse what PostgreSQL's jsonb cannot hold, and what belongs in a file."""
    problem = refusal(params, max_bytes=MAX_PARAMS_BYTES)
    if problem is not None:
        raise InvalidParams(f"params: {problem}")


def _is_storable(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
