# SPDX-License-Identifier: BSD-3-Clause
"""The command `sigmascope`, also as `python -m sigmascope`."""

from __future__ import annotations

import sys

NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; without its extra, say how to get it, and exit with status 2."""
    try:
        from sigmascope.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        print(
            f"sigmascope: the command line needs {error.name}: pip install 'sigmascope[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
