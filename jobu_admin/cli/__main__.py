"""``python -m jobu_admin.cli`` is ``jobu``."""

from __future__ import annotations

from jobu_admin.cli import main

main()
