"""A warm worker that dies at a crash point, once: POINT, TRIGGER, then Celery's arguments."""

from __future__ import annotations

import sys
from pathlib import Path

from celery.__main__ import main

from tests.crash.killing import die_when_armed

if __name__ == "__main__":
    die_when_armed(sys.argv[1], Path(sys.argv[2]))
    del sys.argv[1:3]
    main()
