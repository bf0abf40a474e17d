"""How much memory Arrow takes in a block, apart from what it took before."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_KEPT: Final[list[pa.MemoryPool]] = []
"""A pool must outlive its buffers, and what reads ahead may hold some for a while."""


@contextmanager
def arrow_peak() -> Iterator[Callable[[], int]]:
    """Count what the block allocates; the yielded function returns its peak in bytes."""
    before = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(before)
    _KEPT.append(counted)
    pa.set_memory_pool(counted)
    try:
        yield lambda: counted.max_memory() or 0
    finally:
        pa.set_memory_pool(before)
