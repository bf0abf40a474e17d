"""The process whose memory is measured: ``python -m bench.memory_worker URL FOLDER ops|fused``."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Final

from bench import attempts, pipeline

_WORKER_HAS: Final = (
    *("celery", "dagster", "dagster_postgres", "jobu_dagster.celery_app"),
    *("jobu_dagster.jobs", "jobu_dagster.private", "jobu_dagster.resources"),
)
"""What a warm worker has imported before its first run."""
_KIB_PER_MB: Final = 1000 * 1000 / 1024


def main() -> None:
    """Run one pipeline and print rows, seconds and peak memory as JSON."""
    url, folder, stages = sys.argv[1:]
    for name in _WORKER_HAS:
        importlib.import_module(name)
    known = attempts.registry()
    imports_mb = peak_mb()
    parsed = known.parse("pipeline", pipeline.params(fused=stages == "fused"))
    context = attempts.context(known, Path(folder), url, 1 if stages == "fused" else 2)
    started = time.perf_counter()
    result = known.get("pipeline").run(context, parsed)
    seconds = time.perf_counter() - started
    told = {
        "rows": result["rows"],
        "seconds": seconds,
        "imports_mb": imports_mb,
        "peak_mb": peak_mb(),
    }
    sys.stdout.write(json.dumps(told))


def peak_mb() -> float:
    """Return the high-water mark of this process's resident set, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) / _KIB_PER_MB


if __name__ == "__main__":
    main()
