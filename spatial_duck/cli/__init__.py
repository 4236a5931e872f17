"""The command line: ``spatial-duck info | convert | resample | pyramid | view | …``.

`main` returns 0 when all went well, 1 on an error (one line on stderr; ``--debug`` shows where it
came from), 2 on wrong usage, and 130 when interrupted. Each subcommand is a row of `COMMANDS` in
`spatial_duck.cli._table`.
"""

from __future__ import annotations

from spatial_duck.cli._api import COMMANDS, Command, main, script

__all__ = ["COMMANDS", "Command", "main", "script"]
