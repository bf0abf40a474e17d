"""A project of its own with the embedded stack, on a real Apache Kafka that can be killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from jobu_core.config import load_settings
from jobu_core.services import stack
from tests.fix_kafka import (
    KafkaServer,
    SecureListener,
    format_storage,
    free_port,
    make_certificate,
    resolve_jars,
    run_broker,
)
from tests.fix_project import REPOSITORY

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from jobu_core.config import Settings

TOPIC: Final = "jobu-chaos"
LOAD_INPUT: Final = "/data/raw/one_row.parquet"
LOAD_TABLE: Final = "default.public.chaos_loads"
PARTITIONS: Final = 4


@dataclass(slots=True)
class Broker:
    """An Apache Kafka that survives ``kill -9``: it comes back on the same files and port."""

    jars: Path
    folder: Path
    bootstrap: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Bring it back."""
        self.process = run_broker(self.jars, self.folder)


@dataclass(frozen=True, slots=True)
class World:
    """What a chaos run works on."""

    settings: Settings
    broker: Broker


@contextmanager
def chaos_world() -> Iterator[World]:
    """Start everything in a temporary folder; end and remove it afterwards."""
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="jc"))
        folder.chmod(0o711)
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        broker = _start_broker(folder / "kafka")
        undo.callback(broker.kill)
        root = folder / "project"
        _lay_out(root, broker.bootstrap)
        for variable in [name for name in os.environ if name.startswith(("JOBU_", "DAGSTER_"))]:
            del os.environ[variable]
        os.environ["JOBU_ROOT"] = str(root)
        settings = load_settings(root)
        undo.callback(stack.down, settings, lambda _: None)
        stack.up(settings, lambda _: None)
        yield World(settings, broker)


def _start_broker(folder: Path) -> Broker:
    folder.mkdir()
    jars = resolve_jars()
    bootstrap = f"127.0.0.1:{free_port()}"
    secure = SecureListener(f"127.0.0.1:{free_port()}", make_certificate(folder))
    format_storage(jars, folder, bootstrap, secure)
    broker = Broker(jars, folder, bootstrap, run_broker(jars, folder))
    KafkaServer(bootstrap, secure).create_topic(TOPIC, PARTITIONS)
    return broker


def _lay_out(root: Path, bootstrap: str) -> None:
    """Copy the project as a user has it; only its addresses and limits are the run's own."""
    shutil.copytree(REPOSITORY / "config", root / "config")
    shutil.copytree(REPOSITORY / "data" / "raw", root / "data" / "raw")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, root / name)
    row = pa.table({"id": pa.array([1], pa.int64()), "name": pa.array(["one"])})
    pq.write_table(row, root / "data" / "raw" / "one_row.parquet")
    _change(
        root / "config" / "queue.yaml",
        queue_dispatcher={"kafka_bootstrap_servers": bootstrap, "kafka_topic": TOPIC},
        kafka={"adopt_existing": True},
    )
    _change(root / "config" / "admin.yaml", admin={"dagster_port": free_port()})
    _change(root / "config" / "handlers.yaml", handlers={"free_tables": [LOAD_TABLE]})
    # Kills use up attempts by chance; what is looked for here is loss, not bad luck.
    _change(root / "config" / "worker.yaml", worker={"max_retry": 20, "retry_backoff_seconds": 1})


def _change(path: Path, **sections: dict[str, object]) -> None:
    values = yaml.safe_load(path.read_text())
    for name, changes in sections.items():
        values[name] = (values.get(name) or {}) | changes
    path.write_text(yaml.safe_dump(values))
