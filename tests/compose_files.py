"""docker/ as data: the compose files merged and interpolated as compose does it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

DOCKER: Final = Path(__file__).resolve().parents[1] / "docker"
BASE: Final = "docker-compose.yaml"
ZOOKEEPER: Final = "docker-compose.zookeeper.yaml"
SCALE: Final = "docker-compose.scale.yaml"
FILES: Final = (BASE, ZOOKEEPER, SCALE)

Service = dict[str, Any]

_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


def services(*overlays: str) -> dict[str, Service]:
    """Return the services of the base file with ``overlays``, every variable unset."""
    merged: dict[str, Service] = {}
    for name in (BASE, *overlays):
        for service, given in read(name)["services"].items():
            merged[service] = _merged(merged.get(service, {}), given)
    return merged


def read(name: str) -> dict[str, Any]:
    """Return one file, defaults in the place of its variables."""
    text = (DOCKER / name).read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(r"\2", text))
    return found


def of_jobu() -> dict[str, Service]:
    """Return the services that run jobu's own image."""
    return {name: each for name, each in services().items() if "build" in each}


def published(service: Service) -> dict[int, str]:
    """Return port on the host → ``address:port`` in the container, of each published port."""
    found = {}
    for text in service.get("ports", ()):
        address, outside, inside = text.split(":")
        found[int(outside)] = f"{address}:{inside}"
    return found


def seconds(duration: str) -> int:
    """Return a duration such as ``20s``."""
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None, duration
    return int(match[1])


def mounts(service: Service) -> dict[str, str]:
    """Return path in the container → volume or path on the host."""
    return {text.split(":")[1]: text.split(":")[0] for text in service.get("volumes", ())}


def _merged(below: Service, above: Service) -> Service:
    """Merge one service as compose does: maps by key, mounts by their target, else the last."""
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, dict):
            result[key] = {**below.get(key, {}), **value}
        elif key == "volumes":
            targets = mounts({"volumes": value})
            kept = [each for each in below.get(key, ()) if each.split(":")[1] not in targets]
            result[key] = [*kept, *value]
        else:
            result[key] = value
    return result
