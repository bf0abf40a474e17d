"""jobu's core: dispatch, ledger, execution and data path.

Imports neither Dagster nor Celery, so that every promise can be tested with a
database alone.
"""

from __future__ import annotations
