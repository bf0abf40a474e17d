"""Who a worker is: the same for its children, never the same twice."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from jobu_dagster.supervision import remember_main, worker_id

if TYPE_CHECKING:
    import pytest


def test_a_container_that_starts_again_is_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host name and pid come back; what the predecessor held is not this one's."""
    monkeypatch.setattr(socket, "gethostname", lambda: "container")
    monkeypatch.setattr(os, "getpid", lambda: 7)
    remember_main()
    before = worker_id()
    remember_main()
    assert worker_id() != before
    assert worker_id().startswith("container:7:")


def test_children_know_the_worker_they_belong_to() -> None:
    """A forked child names its main process's worker, not itself."""
    remember_main()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, worker_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as said:
        assert said.read().decode() == worker_id()
