"""From what is due (cron rows, queue messages) to rows of ``job_executions``.

Nothing here runs user work; the tick decides, the database remembers.
"""

from __future__ import annotations
