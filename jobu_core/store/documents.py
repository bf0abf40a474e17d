"""What a ``jsonb`` column can hold; asked before the database has to refuse it."""

from __future__ import annotations

import json
from typing import Final

MAX_DEPTH: Final = 100
"""Arrays and objects inside each other; every reader copes with these."""
MAX_PARAMS_BYTES: Final = 1_048_576
"""Longest params of an execution as JSON; larger input belongs in a file."""


def refusal(document: object, *, max_bytes: int | None = None) -> str | None:
    """Return why ``document`` cannot be stored, without any value of it, or None."""
    if not _is_shallow(document):
        return f"nested deeper than {MAX_DEPTH}"
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair"
    except (TypeError, ValueError) as error:
        return f"does not fit in JSON: {error}"
    if "\\u0000" in text and not _is_free_of_nul(document):
        return "holds NUL, which PostgreSQL cannot store"
    if max_bytes is not None and size > max_bytes:
        return f"has {size} bytes as JSON; the limit is {max_bytes}"
    return None


def storable(text: str) -> str:
    """Return ``text`` with NUL and lone surrogates written out, as PostgreSQL can hold it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _is_shallow(document: object) -> bool:
    """Walk level by level: neither depth nor a cycle can exhaust the stack."""
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        # By identity: a document that holds itself twice must not double at each level.
        level = list({id(child): child for item in level for child in _children(item)}.values())
        if not level:
            return True
    return False


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return [child for child in item.values() if isinstance(child, dict | list | tuple)]
    if isinstance(item, list | tuple):
        return [child for child in item if isinstance(child, dict | list | tuple)]
    return []


def _is_free_of_nul(document: object) -> bool:
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and "\0" in item:
            return False
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item
    return True
