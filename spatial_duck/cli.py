"""The command line: ``spatial-duck info | convert | resample | view | check | demo``.

`main` returns 0 when all went well, 1 on an error (one line on stderr; ``--debug`` shows where it
came from), 2 on wrong usage, and 130 when interrupted. Each subcommand is a row of `COMMANDS`.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import spatial_duck as sd
from spatial_duck import display
from spatial_duck.errors import SpatialDuckError, missing_extra
from spatial_duck.targets import aligned_grid
from spatial_duck.testing.report import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["COMMANDS", "Command", "main"]

_INTERPOLATIONS = ("nearest", "linear", "cubic", "quintic", "lanczos", "label")


class Command(NamedTuple):
    """A subcommand.

    Attributes
    ----------
    name, summary : str
        As ``--help`` shows them.
    arguments : tuple
        Positional and keyword arguments of `argparse.ArgumentParser.add_argument`, one pair each.
    run : callable
        Takes the parsed arguments.
    examples : tuple of str
        Lines to copy.
    """

    name: str
    summary: str
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...]
    run: Callable[[argparse.Namespace], None]
    examples: tuple[str, ...]


def _argument(*names: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, options


# --- what the subcommands do --------------------------------------------------------------


def _info(args: argparse.Namespace) -> None:
    from spatial_duck import io

    for path in args.files:
        found = io.info(path, level=args.level)
        shape = " × ".join(str(n) for n in found.geometry.shape)
        rows = [("format", found.format), ("voxels", f"{shape}, {found.dtype}")]
        rows += display.facts(found.geometry)
        low, high = found.geometry.bounds.tolist()
        names = found.geometry.world.axes
        rows.append(
            (
                "extent",
                "\n".join(
                    f"{n} {a:.10g} … {b:.10g} {u or ''}".rstrip()
                    for n, a, b, u in zip(names, low, high, found.geometry.unit, strict=True)
                ),
            )
        )
        if found.levels > 1:
            rows.append(("levels", str(found.levels)))
        if found.attrs:
            rows.append(("attrs", ", ".join(map(str, found.attrs))))
        print(path)
        for name, value in rows:
            first, *rest = value.split("\n")
            print(f"  {name:<11}{first}")
            for line in rest:
                print(f"  {'':<11}{line}")


def _convert(args: argparse.Namespace) -> None:
    image = sd.read(args.input, level=args.level)
    _write(args, image)


def _resample(args: argparse.Namespace) -> None:
    if args.like is None and args.spacing is None and args.orientation is None and not args.align:
        raise UsageError("say where to: --spacing, --like, --orientation or --align")
    if args.like is not None and (args.spacing or args.orientation or args.align):
        raise UsageError("--like excludes --spacing, --orientation and --align")
    image = sd.read(args.input, level=args.level)
    if args.like is not None:
        image = _moved(args, image, to=sd.read(args.like))
    elif args.align:
        geometry = image.geometry
        spacing = None if args.spacing is None else _spacing(args.spacing, geometry)
        names = [str(geometry.dims[i]) for i in geometry.sampled_axes]
        by_name = None if spacing is None else dict(zip(names, spacing, strict=True))
        image = _moved(args, image, to=aligned_grid(geometry, by_name, args.orientation))
    else:
        if args.orientation is not None:
            image = sd.reorient(image, args.orientation)
        if args.spacing is not None:
            image = _moved(args, image, spacing=_spacing(args.spacing, image.geometry))
    _write(args, image)


def _moved(args: argparse.Namespace, image: Any, **target: Any) -> Any:
    return sd.resample(
        image,
        interpolation=args.interpolation,
        fill=args.fill,
        **target,
    )


def _spacing(words: Sequence[str], geometry: Any) -> list[float]:
    """Return one spacing for each sampled axis; axes that are not named keep theirs.

    One bare number is for all axes of space; several are for them in array-axis order;
    ``name=number`` goes by name.
    """
    names = [geometry.dims[i] for i in geometry.sampled_axes]
    spacing = geometry.spacing.tolist()
    space = [k for k, name in enumerate(names) if name != "t"]
    named = ["=" in word for word in words]
    try:
        if all(named):
            pairs = [word.split("=", 1) for word in words]
            wanted = {names.index(name): float(value) for name, value in pairs}
        elif not any(named) and len(words) in (1, len(space)):
            values = [float(word) for word in words]
            values = values * len(space) if len(values) == 1 else values
            wanted = dict(zip(space, values, strict=True))
        else:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--spacing takes one number, or {len(space)} in the order of the axes "
            f"{', '.join(str(names[k]) for k in space)}, or NAME=NUMBER with names among "
            f"{', '.join(map(str, names))}; got {' '.join(words)!r}"
        ) from None
    return [wanted.get(k, old) for k, old in enumerate(spacing)]


def _view(args: argparse.Namespace) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot", "Plotting") from None
    from spatial_duck import plotting

    image = sd.read(args.file, level=args.level)
    overlay = None if args.overlay is None else sd.read(args.overlay)
    title = args.title if args.title is not None else Path(args.file).name
    figure = Figure(figsize=plotting.figure_size(image), layout="constrained")
    plotting.plot(image, overlay, title=title, figure=figure, limits=args.limits)
    figure.savefig(args.out, dpi=args.dpi)
    print(f"wrote {args.out}")


def _check(args: argparse.Namespace) -> None:
    from spatial_duck.testing import Conformance, check

    levels = tuple(args.level or LEVELS)
    subject = _named(args.subject)
    if isinstance(subject, type) and issubclass(subject, Conformance):
        if args.geometry_of or args.axis_aligned:
            raise UsageError("a Conformance class says its geometry_of and oblique itself")
        report = subject.report(levels)
    else:
        geometry_of = _named(args.geometry_of) if args.geometry_of else None
        oblique = not args.axis_aligned
        report = check(
            subject, geometry_of, levels=levels, oblique=oblique, name=args.subject.split(":")[1]
        )
    print(report)
    if not report.ok:
        raise SpatialDuckError(f"{len(report.wrong)} of {len(report.findings)} checks are wrong")


def _named(text: str) -> Any:
    """Import what ``package.module:name`` names; modules of the working folder are found too."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise UsageError(f"{text!r}: write PACKAGE.MODULE:NAME")
    sys.path.insert(0, "")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise UsageError(f"there is no module {module!r} here or installed") from error
        raise
    finally:
        sys.path.remove("")
    if not callable(getattr(found, name, None)):
        raise UsageError(f"module {module!r} has no function or class {name!r}")
    return getattr(found, name)


def _demo(args: argparse.Namespace) -> None:
    from spatial_duck import demo

    demo.run(Path(args.out))


def _write(args: argparse.Namespace, image: Any) -> None:
    with _progress(f"writing {Path(args.output).name}") as progress:
        options: dict[str, Any] = {"frame": args.frame} if args.frame else {}
        if args.keep_oblique:
            options["oblique"] = "keep"
        sd.write(args.output, image, overwrite=args.overwrite, progress=progress, **options)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function to call with bytes done and in all; it draws a bar on a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    # disable=None: silent where stderr is no terminal.
    with tqdm(desc=what, unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


class UsageError(SpatialDuckError):
    """An argument is wrong in a way that only the image shows."""


# --- the table ----------------------------------------------------------------------------

_LEVEL = _argument("--level", type=int, metavar="N", help="resolution to open, 0 the finest")
_OUTPUT = (
    _argument("input", metavar="IN", help="image file, or directory of a Zarr group"),
    _argument("output", metavar="OUT", help="its suffix tells the format"),
)
_WRITING = (
    _argument("--overwrite", action="store_true", help="replace OUT if it is there"),
    _argument(
        "--frame",
        metavar="CODE",
        help="for NIfTI and MetaImage: which way x, y and z point in an image that does not say",
    ),
    _argument(
        "--keep-oblique",
        action="store_true",
        help="for OME-Zarr: accept that other programs will see an oblique image unrotated",
    ),
)

COMMANDS = (
    Command(
        "info",
        "show what a file says of its image, without reading voxels",
        (_argument("files", metavar="FILE", nargs="+", help="image file"), _LEVEL),
        _info,
        ("spatial-duck info brain.nii.gz", "spatial-duck info volume.ome.zarr --level 2"),
    ),
    Command(
        "convert",
        "write an image in another format, with its geometry",
        (*_OUTPUT, *_WRITING, _LEVEL),
        _convert,
        (
            "spatial-duck convert brain.nrrd brain.nii.gz",
            "spatial-duck convert volume.mha volume.ome.zarr",
        ),
    ),
    Command(
        "resample",
        "write an image on another grid",
        (
            *_OUTPUT,
            _argument(
                "--spacing",
                nargs="+",
                metavar="S",
                help="one number for all axes of space, one for each in array-axis order, or "
                "NAME=NUMBER; others keep theirs",
            ),
            _argument("--like", metavar="FILE", help="take the grid of this image"),
            _argument(
                "--orientation",
                metavar="CODE",
                help="permute and flip to the nearest orientation first, such as RAS",
            ),
            _argument(
                "--align",
                action="store_true",
                help="take a grid along the world's axes that covers the image, which may be "
                "oblique",
            ),
            _argument(
                "--interpolation",
                choices=_INTERPOLATIONS,
                default="linear",
                help="default: linear",
            ),
            _argument("--fill", type=float, default=0.0, help="value outside; default 0"),
            *_WRITING,
            _LEVEL,
        ),
        _resample,
        (
            "spatial-duck resample brain.nii.gz brain_1mm.nii.gz --spacing 1",
            "spatial-duck resample brain.nii.gz thick.nrrd --spacing z=5 --orientation RAS",
            "spatial-duck resample oblique.nii.gz out.nii.gz --spacing 1 --align",
            "spatial-duck resample labels.nrrd out.nrrd --like brain.nrrd --interpolation nearest",
        ),
    ),
    Command(
        "view",
        "draw three planes through the centre into a picture",
        (
            _argument("file", metavar="FILE", help="image file"),
            _argument("--out", metavar="PNG", required=True, help="picture to write"),
            _argument("--overlay", metavar="FILE", help="draw this image over it, on its own grid"),
            _argument("--limits", nargs=2, type=float, metavar=("LOW", "HIGH"), help="grey values"),
            _argument("--title", help="default: the file's name"),
            _argument("--dpi", type=float, default=120.0, help="default: 120"),
            _LEVEL,
        ),
        _view,
        (
            "spatial-duck view brain.nii.gz --out brain.png",
            "spatial-duck view brain.nrrd --overlay tumour.nrrd --out both.png",
        ),
    ),
    Command(
        "check",
        "check an image class: does every voxel keep its value and place",
        (
            _argument(
                "subject",
                metavar="PACKAGE.MODULE:NAME",
                help="a function (data, spacing, origin, direction) -> image, or a subclass of "
                "spatial_duck.testing.Conformance",
            ),
            _argument(
                "--geometry-of",
                metavar="PACKAGE.MODULE:NAME",
                help="a function image -> (spacing, origin, direction), where they are called "
                "otherwise",
            ),
            _argument(
                "--level",
                action="append",
                choices=LEVELS,
                help="check this level alone; may be given again",
            ),
            _argument(
                "--axis-aligned", action="store_true", help="axes run along the world's axes only"
            ),
        ),
        _check,
        (
            "spatial-duck check mypackage.images:make",
            "spatial-duck check mypackage.images:make --level attributes --level indexing",
            "spatial-duck check tests.test_images:TestMyImage",
        ),
    ),
    Command(
        "demo",
        "run the main job on a real image and show what it did",
        (_argument("--out", metavar="DIR", default="demo-output", help="default: ./demo-output"),),
        _demo,
        ("spatial-duck demo --out demo-output",),
    ),
)


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


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    known = isinstance(error, SpatialDuckError | ImportError | FileExistsError)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return text if known and text else f"{type(error).__name__}: {text}"


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"spatial-duck: warning: {' '.join(str(message).split())}\n")


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
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            args.run(args)
    except KeyboardInterrupt:
        sys.stderr.write("spatial-duck: interrupted\n")
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        sys.stderr.write(f"spatial-duck: error: {_one_line(error)}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
