"""Typed settings: YAML under ``config/``, each value overridable by ``JOBU_…``.

``load_settings()`` is the only way in; nothing else reads the environment.
"""

from __future__ import annotations

from jobu_core.config.buckets import BucketSettings
from jobu_core.config.datasets import DatasetSettings
from jobu_core.config.sections import (
    AdminSettings,
    DatabaseSettings,
    DispatcherSettings,
    HandlersSettings,
    KafkaSettings,
    LaunchSettings,
    QueueSettings,
    RetentionSettings,
    Stack,
    WorkerSettings,
)
from jobu_core.config.settings import Settings, find_root, load_settings

__all__ = [
    "AdminSettings",
    "BucketSettings",
    "DatabaseSettings",
    "DatasetSettings",
    "DispatcherSettings",
    "HandlersSettings",
    "KafkaSettings",
    "LaunchSettings",
    "QueueSettings",
    "RetentionSettings",
    "Settings",
    "Stack",
    "WorkerSettings",
    "find_root",
    "load_settings",
]
