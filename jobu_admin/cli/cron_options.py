"""Arguments and options that several ``jobu cron`` commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Job = Annotated[str, typer.Argument(metavar="NAME", help="The job's name or id.")]
MaybeJob = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A saved job's name or id."),
]
Expression = Annotated[
    str | None,
    typer.Option("--cron", help="An expression that is not saved: five fields or an alias."),
]
Params = Annotated[
    str | None,
    typer.Option("--params", help="The handler's params: a JSON object, or @FILE."),
]
Timezone = Annotated[str | None, typer.Option("--timezone", help="IANA name; default UTC.")]
Description = Annotated[str | None, typer.Option("--description")]
Overlap = Annotated[
    str | None,
    typer.Option(
        "--overlap",
        help="While one is active: skip (default), allow, queue_one, queue_all, replace.",
    ),
]
Misfire = Annotated[
    str | None,
    typer.Option("--misfire", help="Of missed occurrences run: latest (default), all, none."),
]
Grace = Annotated[
    int | None,
    typer.Option("--misfire-grace", help="Seconds after which a missed one never runs; 3600."),
]
Dst = Annotated[
    str | None,
    typer.Option("--dst", help="When clocks change: standard (default), skip, both."),
]
Retries = Annotated[
    int | None,
    typer.Option("--max-retry", help="Attempts after the first; default 3."),
]
Backoff = Annotated[
    int | None,
    typer.Option("--retry-backoff", help="Seconds before the first retry, then doubled; 10."),
]
Timeout = Annotated[
    int | None,
    typer.Option("--timeout", help="Seconds an attempt may take; default 3600."),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many times.")]
