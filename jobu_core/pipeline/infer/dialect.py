"""How a CSV file seems to be written down: its encoding and its delimiter.

Looked up in the file's beginning only; the reader refuses what does not fit later.
"""

from __future__ import annotations

import codecs
import csv
import io
from typing import TYPE_CHECKING, Final

from jobu_core.config.datasets import CsvOptions
from jobu_core.errors import FileError
from jobu_core.pipeline.input_bytes import InputBytes

if TYPE_CHECKING:
    from pathlib import Path

_LOOKED_AT_BYTES: Final = 1 << 20
_LOOKED_AT_ROWS: Final = 50
_DELIMITERS: Final = (",", ";", "\t", "|")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ENCODINGS: Final = ("utf-8", "cp949")


def sniff_dialect(
    path: Path, *, name: str, encoding: str | None = None, delimiter: str | None = None
) -> CsvOptions:
    """Return how ``path`` seems to be written; what is given is taken as it is.

    Raises FileError when it cannot be opened or is in no encoding that is known here.
    """
    found = encoding or _encoding(path, name)
    chosen = delimiter or _delimiter(_beginning(path, name, found))
    return CsvOptions(delimiter=chosen, encoding=found)


def _encoding(path: Path, name: str) -> str:
    with InputBytes(path, name=name, encoding="latin-1") as source:
        # As latin-1 every byte is a character; the last one of a portion may be cut.
        start = source.read(_LOOKED_AT_BYTES).decode("utf-8", "ignore").encode("latin-1")
    if start.startswith(_UTF16):
        return "utf-16"
    for encoding in _ENCODINGS:
        try:
            codecs.getincrementaldecoder(encoding)("strict").decode(start)
        except UnicodeDecodeError:
            continue
        return encoding
    raise FileError(f"{name}: is neither {' nor '.join(_ENCODINGS)} nor utf-16; give --encoding")


def _beginning(path: Path, name: str, encoding: str) -> str:
    with InputBytes(path, name=name, encoding=encoding) as source:
        return source.read(_LOOKED_AT_BYTES).decode("utf-8", "ignore").lstrip("\ufeff")


def _delimiter(text: str) -> str:
    """Return the one that cuts the first rows into equally many cells, and most of them."""
    return max(_DELIMITERS, key=lambda each: _fit(text, each))


def _fit(text: str, delimiter: str) -> tuple[float, int]:
    """Return how well a delimiter fits: share of rows as wide as the header, its width."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    widths = []
    try:
        for row in rows:
            widths += [len(row)] if row else []
            if len(widths) > _LOOKED_AT_ROWS:
                break
    except csv.Error:  # a cell beyond the module's limit
        return 0, 0
    if not widths or widths[0] == 1:
        return 0, 0
    return sum(width == widths[0] for width in widths) / len(widths), widths[0]
