"""YAML files of ``config/`` as one mapping: ``${VAR}`` expanded, keys checked."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

from jobu_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FILES: Final = {
    "database.yaml": ("stack", "databases"),
    "queue.yaml": ("queue_dispatcher", "kafka"),
    "dispatcher.yaml": ("dispatcher",),
    "worker.yaml": ("worker",),
    "admin.yaml": ("admin",),
    "handlers.yaml": ("handlers", "s3_buckets"),
    "datasets.yaml": ("datasets",),
}
"""File → the top-level keys it may hold."""

_MAX_BYTES: Final = 1_000_000
_MAX_DEPTH: Final = 20
_VARIABLE: Final = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys, deep nesting and aliases (no expansion bombs)."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        try:
            return self._compose(parent, index)
        finally:
            self._depth -= 1

    def _compose(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > _MAX_DEPTH:
            raise ConfigError(f"nested deeper than {_MAX_DEPTH}")
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            msg = f"line {event.start_mark.line + 1}: YAML aliases are not allowed"
            raise ConfigError(msg)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                msg = f"line {key_node.start_mark.line + 1}: a key must be a plain word"
                raise ConfigError(msg)
            if key_node.tag == "tag:yaml.org,2002:merge":
                msg = f"line {key_node.start_mark.line + 1}: merge keys (<<) are not allowed"
                raise ConfigError(msg)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                msg = f"line {key_node.start_mark.line + 1}: key {key!r} is given twice"
                raise ConfigError(msg)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_folder(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Merge the YAML files of ``folder``; a missing file means its defaults.

    Raises ConfigError naming the file, and line or key, for anything unusable.
    """
    merged: dict[str, Any] = {}
    if folder.is_dir():
        for path in sorted(folder.glob("*.y*ml")):
            if path.name not in FILES:
                msg = f"{path.name}: unknown configuration file{suggest(path.name, FILES)}"
                raise ConfigError(msg)
    for name, sections in FILES.items():
        path = folder / name
        if path.is_file():
            merged |= _read_file(path, sections, environ)
    return merged


def _read_file(
    path: Path,
    sections: tuple[str, ...],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    if path.stat().st_size > _MAX_BYTES:
        msg = f"{path.name}: larger than {_MAX_BYTES} bytes"
        raise ConfigError(msg)
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except ConfigError as error:
        msg = f"{path.name}: {error}"
        raise ConfigError(msg) from error
    except yaml.MarkedYAMLError as error:  # its own text quotes the file, which may hold a password
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        msg = f"{path.name}: line {line}: not valid YAML: {error.problem}"
        raise ConfigError(msg) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        msg = f"{path.name}: not valid YAML: not UTF-8 text"
        raise ConfigError(msg) from None
    except ValueError:  # a date that is none, an integer with too many digits
        msg = f"{path.name}: not valid YAML: a value is not what it looks like"
        raise ConfigError(msg) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        msg = f"{path.name}: must be a mapping with the keys {', '.join(sections)}"
        raise ConfigError(msg)
    for key in loaded:
        if key not in sections:
            msg = f"{path.name}: unknown key {key!r}{suggest(str(key), sections)}"
            raise ConfigError(msg)
    return {key: expand(value, environ, path.name, key) for key, value in loaded.items()}


def expand(value: object, environ: Mapping[str, str], file: str, where: str) -> Any:  # noqa: ANN401 - YAML's own shapes
    """Replace ``${VAR}`` and ``${VAR:-default}`` in every string below ``value``."""
    if isinstance(value, dict):
        return {key: expand(item, environ, file, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environ, file, f"{where}[{at}]") for at, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def substitute(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        found = environ.get(name) or default
        if found is None:
            msg = f"{file}: {where} needs the environment variable {name}, which is not set"
            raise ConfigError(msg)
        return found

    return _VARIABLE.sub(substitute, value)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
