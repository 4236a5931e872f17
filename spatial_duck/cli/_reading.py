"""How files are opened from the command line: the options of formats, and how errors name them.

Every option of a format's reader can be given as ``--option KEY=VALUE``; the most wanted have names
of their own. Advice in messages, which is in Python's words, is put into those of the line.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    import argparse

__all__ = ["READING", "UsageError", "put_into_words_of_line", "read_options"]


class UsageError(SpatialDuckError):
    """An argument is wrong in a way that only the image shows."""


#: Arguments of each command that reads an image, as the table of commands has them.
READING: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--level",), {"type": int, "metavar": "N", "help": "resolution to open, 0 the finest"}),
    (
        ("--series",),
        {"metavar": "NAME", "help": "for DICOM and TIFF: which series, by UID, name or number"},
    ),
    (
        ("--where",),
        {
            "metavar": "TAG=VALUE",
            "action": "append",
            "help": "for DICOM: only frames whose element has this value; may be given again",
        },
    ),
    (
        ("--option",),
        {
            "metavar": "KEY=VALUE",
            "action": "append",
            "help": "any other option of the format's reader, such as tolerance=0.1, "
            "irregular=resample, scaled=False, form=qform; may be given again",
        },
    ),
)


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the keyword arguments of `spatial_duck.read` that a command line asks for.

    Raises
    ------
    UsageError
        If one is not KEY=VALUE.
    """
    options: dict[str, Any] = {} if args.level is None else {"level": args.level}
    options |= _pairs("--option", args.option)
    if args.series is not None:
        options["series"] = _value(args.series)
    if args.where:
        options["where"] = _pairs("--where", args.where)
    return options


def _pairs(name: str, given: list[str] | None) -> dict[str, Any]:
    out = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{name} takes KEY=VALUE, got {text!r}")
        out[key] = _value(value)
    return out


def _value(text: str) -> Any:
    """Return a number, a list or another of Python's literals, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


#: An option with its value, as messages name it in Python's words.
_ADVICE = re.compile(r"\b([a-z_]+)=('[^']*'|\{[^}]*\}|[\w.+-]*\w)(?![\w(])")


def put_into_words_of_line(text: str) -> str:
    """Return a message with the readers' options as the command line has them.

    Examples
    --------
    >>> put_into_words_of_line("mix them with irregular='resample', or where={tag: value}")
    'mix them with --option irregular=resample, or --where TAG=VALUE'
    """
    from spatial_duck.io._registry import formats

    known = {name for row in formats() for name in row.options("read")}

    def spelled(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in known:
            return match[0]
        if name == "where":
            tag = re.match(r"\{'(\w+)': ", value)
            return f"--where {tag[1] if tag else 'TAG'}=VALUE"
        plain = value.strip("'")
        plain = f"'{plain}'" if re.search(r"[^\w.+-]", plain) else plain
        return f"--{name} {plain}" if name in ("series", "level") else f"--option {name}={plain}"

    return _ADVICE.sub(spelled, text)
