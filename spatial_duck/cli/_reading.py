"""Options of formats on the command line, and error messages that name them.

Every option of a format's reader can be given as ``--option KEY=VALUE``; the most wanted have names
of their own. Advice in messages, which is in Python's words, is put into those of the line.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    import argparse

__all__ = [
    "READING",
    "UsageError",
    "put_into_words_of_line",
    "read_options",
    "write_options",
]


class UsageError(SpatialDuckError):
    """An argument is wrong in a way that only the image shows."""


class _NamedOption(NamedTuple):
    """An option of readers that has a name of its own on the line."""

    name: str
    metavar: str
    help: str


#: Options of readers with names of their own; all others are given as --option KEY=VALUE.
_NAMED_OPTIONS = (
    _NamedOption("level", "N", "resolution to open, 0 the finest"),
    _NamedOption("format", "NAME", "read as this format, where content should not decide"),
    _NamedOption("series", "NAME", "for DICOM and TIFF: which series, by UID, name or number"),
    _NamedOption("tolerance", "MM", "for DICOM: by how much slices may lie beside an even grid"),
    _NamedOption(
        "irregular", "HOW", "for DICOM: what is done with uneven slices, such as resample"
    ),
    _NamedOption("form", "NAME", "for NIfTI: which placement, sform or qform"),
    _NamedOption("multiscale", "NAME", "for OME-Zarr: which of several, by number or name"),
)
#: Words of annotations of options that are text.
_TEXT = {"str", "None", "os", "PathLike"}
#: Arguments of each command that reads an image, as the table of commands has them.
READING: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    *[((f"--{row.name}",), {"metavar": row.metavar, "help": row.help}) for row in _NAMED_OPTIONS],
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
            "help": "any other option of the format's reader or writer, such as scaled=False, "
            "version=0.6, chunks=64; may be given again",
        },
    ),
)


def read_options(args: argparse.Namespace, path: str, *more: str) -> dict[str, Any]:
    """Return the keyword arguments of `spatial_duck.read` that a command line asks for.

    Parameters
    ----------
    args : Namespace
        With the arguments of `READING`.
    path : str
        What is read. Of several files each is given the options that its format has.
    *more : str
        The others of the line, and what is written.

    Raises
    ------
    UsageError
        If one is not KEY=VALUE.
    TypeError
        If no format on the line has an option.
    """
    given = _given_options(args)
    own = _known_options(path, "read", args.format)
    target = getattr(args, "output_format", None)
    others = [_known_options(other, verb, {"write": target}.get(verb))
              for other in more for verb in ("read", "write")]  # fmt: skip
    # What no format on the line has is left for `read`, which says what its format has.
    taken = {k for k in given if own is None or k in own or not any(k in (o or ()) for o in others)}
    return {k: _typed(given[k], (own or {}).get(k)) for k in given if k in taken}


def write_options(args: argparse.Namespace, path: str) -> dict[str, Any]:
    """Return the keyword arguments of `spatial_duck.write` that the line asks for."""
    target = getattr(args, "output_format", None)
    own = _known_options(path, "write", target) or {}
    given = _pairs("--option", args.option)
    out = {k: _typed(v, own[k]) for k, v in given.items() if k in own}
    return out if target is None else {"format": target, **out}


def _given_options(args: argparse.Namespace) -> dict[str, Any]:
    named = {row.name: getattr(args, row.name) for row in _NAMED_OPTIONS}
    options = {k: v for k, v in named.items() if v is not None}
    if "level" in options and not isinstance(_value(options["level"]), int):
        raise UsageError(f"--level takes a whole number, got {args.level!r}")
    options |= _pairs("--option", args.option)
    if args.where:
        options["where"] = {k: _value(v) for k, v in _pairs("--where", args.where).items()}
    return options


def _known_options(path: str, verb: str, format: str | None = None) -> dict[str, str] | None:
    """Return the options of a file's format, and the types that they are said to be of.

    None where the format is not known, or nothing is there.
    """
    from spatial_duck.io._location import is_remote, parse_location
    from spatial_duck.io._registry import find_format, format_of, format_to_write

    location = parse_location(path)
    try:
        if format is not None or is_remote(location):
            found: Any = find_format(format or "ome-zarr")
        else:
            found = format_of(location) if verb == "read" else format_to_write(location)
    except (OSError, SpatialDuckError):
        return None
    if found is None:
        return None
    own = {name: str(parameter.annotation) for name, parameter in found.options(verb).items()}
    core = ("format", "level", "lazy", "dims") if verb == "read" else ("axis_order",)
    return {**dict.fromkeys((*core, "storage_options"), "Any"), **own}


def _pairs(name: str, given: list[str] | None) -> dict[str, str]:
    out = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise UsageError(f"{name} takes KEY=VALUE, got {text!r}")
        if key == "format":
            raise UsageError(
                "--option takes no format: say --format of what is read, --output-format of OUT"
            )
        out[key] = value
    return out


def _typed(given: Any, annotation: str | None) -> Any:
    """Return the value of an argument's text; a text option keeps it as it is (``0.6``)."""
    if not isinstance(given, str):
        return given
    is_text = annotation is not None and set(re.findall(r"\w+", annotation)) <= _TEXT
    return given if is_text else _value(given)


def _value(text: str) -> Any:
    """Return a number, a list or another of Python's literals, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


# --- advice -------------------------------------------------------------------------------

#: Advice whose words on the line are other than ``--name VALUE`` or ``--option name=VALUE``.
_COMMAND_LINE_TERMS = {
    "overwrite=True": "--overwrite",
    "oblique='keep'": "--keep-oblique",
    "axis_order": "--orientation",
}
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|\{[^}]*\}|\.\.\.|[\w.+-]*\w)?"
#: ``read(..., a=1)`` and ``write(path, image, a=1)``, of which the line has the options.
_CALL = re.compile(r"\b(?:sd\.)?(?:read|write)\((?:\.\.\.|path(?:, image)?), ([^()]*)\)")
#: Calls that the line has not.
_PYTHON = re.compile(
    r"\b(?:image|sd|spatial_duck|SpatialArray|Transform|torch|np|config)(?:\.\w+)*"
    r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
)
_ADVICE = re.compile(rf"(?<![\w&?.-])([a-z_]+)=({_VALUE})(?![\w(=>])")


def put_into_words_of_line(text: str, verb: str | None = None) -> str:
    """Return a message with options as the command line has them.

    Parameters
    ----------
    text : str
        Text of an error or a warning, with advice in Python's words.
    verb : {"read", "write"}, optional
        What was done, where both have an option of the name: ``format``.

    Examples
    --------
    >>> put_into_words_of_line("mix them with irregular='resample', or where={tag: value}")
    'mix them with --irregular resample, or --where TAG=VALUE'
    >>> put_into_words_of_line("Continue with write(..., resume=True), or use image.astype('u1')")
    "Continue with --option resume=True, or use image.astype('u1') (in Python)"
    """
    from spatial_duck.io._registry import formats

    known = {name for row in formats() for v in ("read", "write") for name in row.options(v)}
    known |= {"level", "lazy", "format", "overwrite", "axis_order"}
    named = {row.name for row in _NAMED_OPTIONS}
    terms = {**_COMMAND_LINE_TERMS, **({"format": "--output-format"} if verb == "write" else {})}

    def spelled(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in known:
            return match[0]
        if match[0] in terms:
            return terms[match[0]]
        if name == "where":
            tag = re.match(r"\{'(\w+)': ", value)
            return f"--where {tag[1] if tag else 'TAG'}=VALUE"
        plain = value.strip("'\"")
        plain = f"'{plain}'" if re.search(r"[^\w.+-]", plain) else plain
        if name in terms or name in named or name == "frame":
            return f"{terms.get(name, f'--{name}')} {plain}".rstrip()
        return f"--option {name}={plain}"

    text = _CALL.sub(lambda match: match[1], text)
    out, at = [], 0
    for call in _PYTHON.finditer(text):
        out += [_ADVICE.sub(spelled, text[at : call.start()]), f"{call[0]} (in Python)"]
        at = call.end()
    return "".join([*out, _ADVICE.sub(spelled, text[at:])])
