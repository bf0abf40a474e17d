"""Start parts of jobu in the foreground; Ctrl-C stops them.

Parts: dispatcher, queue_dispatcher, worker, admin, in any combination. None named:
dispatcher, worker and admin.
"""

from __future__ import annotations

import argparse
import sys

from jobu_admin.cli.parts import run
from jobu_core.errors import JobuError
from jobu_core.services.parts import PARTS


def main() -> None:
    """Read which parts are wanted and run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    names = parser.parse_args().parts
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]!r} is no part; parts are {', '.join(PARTS)}")
    try:
        run(names)
    except JobuError as error:
        sys.stderr.write(f"jobu: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
