"""Arrow's compute functions without types.

The stubs describe each function for the array types it is known to take, and none
for columns whose type only a file knows.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow.compute

pc: Final[Any] = pyarrow.compute
