"""Gates that no linter has; `make lint` runs each as `python -m scripts.NAME`."""

from __future__ import annotations
