"""The event side: messages become executions or dead letters, each exactly once."""

from __future__ import annotations
