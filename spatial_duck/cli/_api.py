"""The command line: ``spatial-duck info | convert | resample | pyramid | view | …``.

`main` returns 0 when all went well, 1 on an error (one line on stderr; ``--debug`` shows where it
came from), 2 on wrong usage, and 130 when interrupted. Each subcommand is a row of `COMMANDS` in
`spatial_duck.cli._table`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING, Any

import spatial_duck as sd
from spatial_duck._display._describe import printable
from spatial_duck.cli._reading import UsageError, put_into_words_of_line
from spatial_duck.cli._table import COMMANDS, Command
from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "Command", "main", "script"]


def _parser() -> argparse.ArgumentParser:
    examples = "\n".join(f"  {c.examples[0]}" for c in COMMANDS)
    parser = argparse.ArgumentParser(
        prog="spatial-duck",
        description="Images that know where they are: look at, convert and resample them.",
        epilog=f"examples:\n{examples}\n\n'spatial-duck COMMAND --help' says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"spatial-duck {sd.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        lines = "\n".join(f"  {line}" for line in command.examples)
        sub = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            epilog=f"examples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for names, options in command.arguments:
            sub.add_argument(*names, **options)
        sub.add_argument("--debug", action="store_true", help="show where an error came from")
        sub.set_defaults(run=command.run)
    return parser


def _one_line(error: BaseException, args: argparse.Namespace) -> str:
    text = printable(" ".join(str(error).split()))
    if hasattr(args, "option"):
        text = put_into_words_of_line(text, getattr(args, "verb", None))
    known = isinstance(error, SpatialDuckError | ImportError | FileExistsError | FileNotFoundError)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return printable(f"{error.filename}: {error.strerror}")
    return text if known and text else f"{type(error).__name__}: {text}"


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    text = put_into_words_of_line(printable(" ".join(str(message).split())))
    sys.stderr.write(f"spatial-duck: warning: {text}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code: 0 done, 1 error, 2 wrong usage, 130 interrupted.
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return stop.code if isinstance(stop.code, int) else 2
    try:
        args.run(args)
    except KeyboardInterrupt:
        sys.stderr.write("spatial-duck: interrupted\n")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if args.debug:
            import traceback

            traceback.print_exc()
        sys.stderr.write(f"spatial-duck: error: {_one_line(error, args)}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def script() -> None:
    """Run the command line as the program of a process, and end it: warnings are one line."""
    warnings.showwarning = _warn
    sys.exit(main())
