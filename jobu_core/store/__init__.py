"""The job store: every SQL statement of dispatch and execution lives in this package.

Functions take an open SQLAlchemy ``Connection`` and run inside the caller's
transaction; none of them commits.
"""

from __future__ import annotations
