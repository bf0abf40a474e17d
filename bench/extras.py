"""The peers that jobu itself does not need: polars, duckdb and dlt."""

from __future__ import annotations

from importlib.util import find_spec


def missing(package: str) -> str | None:
    """Return what to do when a peer is not installed; None when it is."""
    if find_spec(package) is not None:
        return None
    return (
        f"{package} is not installed; it comes with the extra bench: "
        "`make bench`, or `pip install -e '.[bench]'` in the checkout"
    )
