"""What a measure hands back, as a table and as JSON."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal

from jobu_core.errors import JobuError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.race import Lap

RATE: Final = "rows/s"
_PACKAGES: Final = ("pyarrow", "pydantic", "pandas", "psycopg")

Bound = Literal["ratio at least", "value at most"]


class PeersDisagree(JobuError):  # noqa: N818 - says what happened
    """Ours and a peer did not come to the same rows: the figures would mean nothing."""

    code = "peers_disagree"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    name: str
    value: float
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    """How many times better ours is than the peer."""
    limit: Bound | None
    """What the target bounds; None for what is only reported."""
    limit_value: float | None
    conditions: Mapping[str, Any]

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.limit is None or self.limit_value is None:
            return None
        if self.limit == "value at most":
            return self.value <= self.limit_value
        return self.ratio is not None and self.ratio >= self.limit_value

    def as_json(self) -> dict[str, Any]:
        """Return the fields under their names."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A measure that could not run, and why; never silent."""

    name: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What the measures of one suite handed back."""

    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take over what another measure handed back."""
        self.results += other.results
        self.skipped += other.skipped


def compared(
    name: str,
    ours: Lap,
    peer: Lap,
    *,
    against: str,
    target: float | None = None,
    **conditions: Any,  # noqa: ANN401 - JSON of any shape
) -> Result:
    """Return the result of ours against one peer, in rows per second."""
    return Result(
        name=name,
        value=round(ours.rate),
        unit=RATE,
        peer=against,
        peer_value=round(peer.rate),
        ratio=round(ours.rate / peer.rate, 3),
        limit=None if target is None else "ratio at least",
        limit_value=target,
        conditions={
            **machine(),
            "rows": ours.rows,
            "peer_rows": peer.rows,
            "seconds": _rounded(ours),
            "peer_seconds": _rounded(peer),
            **conditions,
        },
    )


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    return {
        "cpus": os.cpu_count(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }


def _rounded(lap: Lap) -> list[float]:
    return [round(each, 3) for each in lap.seconds]
