"""What the errors of MySQL and MariaDB mean, in words without any cell's value.

The server repeats values in its messages ("Duplicate entry '…' for key"), so of
errors about data only the kind, the column and the row are told. The original is
left out of the chain of causes, which logs show in full.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pymysql import err

from jobu_core.errors import DataError, JobuError, LoadRefused, TargetBusy, TargetUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DUPLICATE: Final = 1062
TABLE_EXISTS: Final = 1050
NO_SUCH_TABLE: Final = 1146
NO_SUCH_THREAD: Final = 1094
INTERRUPTED: Final = frozenset({1205, 1317, 1969, 3024})
"""A lock or a statement was not granted the time it needed."""
REFERENCED: Final = frozenset({1217, 1451, 1701, 1732, 3730})
"""A table cannot go or be emptied: foreign keys of others point at it."""
MAY_NOT: Final = frozenset({1044, 1142, 1143, 1227})
"""The user lacks a privilege."""

_BUSY: Final = INTERRUPTED | {1020, 1213, 1412, 1614, 3058, 3572}
"""Also: changed meanwhile, deadlocks, a table altered in the transaction, NOWAIT."""
_UNAVAILABLE: Final = frozenset(
    {
        *(0, 2002, 2003, 2005, 2006, 2012, 2013, 2014, 2026, 2027, 2055),  # the client's own
        *(1040, 1041, 1042, 1043, 1045, 1049, 1053, 1077, 1079, 1080, 1129, 1130, 1135),
        *(1152, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1189, 1190),  # the network
        *(1021, 1037, 1038, 1114, 1180, 1203, 1206, 1226, 1927, 4031),  # resources, killed
        *(1290, 1792, 1836, 3100, 3101),  # read-only, for now
    },
)
_DATA: Final[Mapping[int, str]] = {
    1048: "null in a column that is NOT NULL",
    DUPLICATE: "duplicate key",
    1169: "duplicate key",
    1216: "foreign key: no such parent row",
    1217: "foreign key: rows of other tables depend on it",
    1261: "fewer values than columns",
    1262: "more values than columns",
    1263: "null in a column that is NOT NULL",
    1264: "out of range",
    1265: "a value that does not fit its column's type",
    1292: "a value that does not fit its column's type",
    1364: "a column without a default is not given",
    1365: "division by zero in an expression of the table",
    1366: "a value that does not fit its column's type or character set",
    1406: "too long",
    1411: "a value that does not fit its column's type",
    1451: "foreign key: rows of other tables depend on it",
    1452: "foreign key: no such parent row",
    1458: "a value that does not fit its column's type",
    1525: "a value that does not fit its column's type",
    1526: "no partition takes the row",
    1644: "a trigger refused the row",
    1690: "out of range",
    1153: "a row is longer than max_allowed_packet",
    1301: "a value is longer than max_allowed_packet",
    3140: "invalid JSON",
    3141: "invalid JSON",
    3156: "invalid JSON",
    3819: "a check constraint refused the row",
    4025: "a check constraint refused the row",
    1586: "duplicate key",
    1761: "duplicate key of a table with a foreign key",
    1762: "duplicate key of a table with a foreign key",
    1859: "duplicate key",
    4035: "invalid JSON",
    4036: "invalid JSON",
    4037: "invalid JSON",
    4038: "invalid JSON",
    4039: "invalid JSON",
    4040: "invalid JSON",
}
_COLUMN: Final = re.compile(r"[Cc]olumn (?:[`'].*[`.'])?[`']([^`']+)[`']")
_ROW: Final = re.compile(r" at row (\d+)\Z")
_KEY: Final = re.compile(r" for key '([^']+)'\Z")
_CHECK: Final = re.compile(r"(?:CONSTRAINT|Check constraint) [`']([^`']+)[`'] (?:failed|is viol)")
_FOREIGN: Final = re.compile(r"CONSTRAINT `([^`]+)` FOREIGN KEY")


def number_of(error: err.Error) -> int:
    """Return the server's or the client's error number; 0 when there is none."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def duplicate_of(error: err.Error, table: str) -> str | None:
    """Return the index whose key was there already; None when that is not the error.

    MySQL puts the table's name before it.
    """
    if number_of(error) != DUPLICATE or len(error.args) <= 1:
        return None
    found = _KEY.search(str(error.args[1]))
    return None if found is None else found[1].removeprefix(f"{table}.")


def told(error: err.Error) -> str:
    """Return the message of an error that is about no data."""
    said = error.args[1] if len(error.args) > 1 else str(error)
    return f"{(str(said).strip().splitlines() or [''])[0]} (error {number_of(error)})"


def place(number: int, message: str) -> str:
    """Return kind, column, key and row of an error or warning about data."""
    found = [f"{_DATA.get(number, 'a value was refused')} (error {number})"]
    key = _KEY.search(message)
    row = _ROW.search(message)
    columns = _COLUMN.findall(message)
    constraint = _CHECK.search(message) or _FOREIGN.search(message)
    if number == DUPLICATE:
        found += [f"key {key[1]!r}"] if key else []
    elif columns:
        found.append(f"column {columns[-1]!r}")
    if constraint:
        found.append(f"constraint {constraint[1]!r}")
    if row:
        found.append(f"row {row[1]} of the rows sent")
    return ", ".join(found)


def as_jobu_error(error: err.Error, database: str) -> JobuError:
    """Return what an error of the target means."""
    number = number_of(error)
    if number in _BUSY:
        return TargetBusy(f"database {database!r}: {told(error)}; tried again later")
    if number in _UNAVAILABLE:
        return TargetUnavailable(f"database {database!r}: {told(error)}")
    if number in _DATA or isinstance(error, err.DataError | err.IntegrityError):
        said = str(error.args[1]) if len(error.args) > 1 else ""
        return DataError(f"database {database!r} refused the rows: {place(number, said)}")
    return LoadRefused(f"database {database!r}: {told(error)}")


@contextmanager
def translated(database: str) -> Iterator[None]:
    """Raise TargetUnavailable, TargetBusy, DataError or LoadRefused for PyMySQL's errors."""
    try:
        yield
    except err.Error as error:
        raise as_jobu_error(error, database) from None
