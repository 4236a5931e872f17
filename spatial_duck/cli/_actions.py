"""The functions of the subcommands: each takes the parsed arguments and prints its result.

An argument that only the image shows to be wrong raises `UsageError`.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import spatial_duck as sd
from spatial_duck._display._describe import printable, summary_rows
from spatial_duck._optional import require
from spatial_duck.cli._reading import UsageError, read_options, write_options
from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = [
    "check",
    "convert",
    "demo",
    "info",
    "pyramid",
    "register",
    "resample",
    "view",
]


def info(args: argparse.Namespace) -> None:
    """Print what files say of their images."""
    from spatial_duck import io

    described = [(path, io.info(path, **read_options(args, path))) for path in args.files]
    if args.json:
        print(json.dumps([_as_json(path, found) for path, found in described], indent=2))
        return
    for path, found in described:
        shape = " × ".join(str(n) for n in found.geometry.shape)
        rows = [("format", found.format), ("voxels", f"{shape}, {found.dtype}")]
        rows += summary_rows(found.geometry)
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
        print(printable(path))
        for name, value in rows:
            first, *rest = printable(value).split("\n")
            print(f"  {name:<11}{first}")
            for line in rest:
                print(f"  {'':<11}{line}")


def _as_json(path: str, found: Any) -> dict[str, Any]:
    """Return the values that `info --json` prints."""
    geometry = found.geometry
    return {
        "path": path,
        "format": found.format,
        "shape": list(geometry.shape),
        "dtype": str(found.dtype),
        "dims": list(geometry.dims),
        "spacing": geometry.spacing.tolist(),
        "origin": geometry.origin.tolist(),
        "direction": geometry.direction.tolist(),
        "world": list(geometry.world.axes),
        "unit": list(geometry.unit),
        "frame": geometry.frame,
        "bounds": geometry.bounds.tolist(),
        "levels": found.levels,
    }


def convert(args: argparse.Namespace) -> None:
    """Write an image in another format."""
    image = sd.read(args.input, **read_options(args, args.input, args.output))
    _write(args, image)


def register(args: argparse.Namespace) -> None:
    """Write the transform that brings one image onto another, and the image that it moves."""
    fixed = sd.read(args.fixed, **read_options(args, args.fixed, args.moving))
    moving = sd.read(args.moving, **read_options(args, args.moving, args.fixed))
    found = sd.register(
        fixed, moving, args.model, metric=args.metric, at=args.at, initial=args.initial,
        seed=args.seed,
    )  # fmt: skip
    print(found)
    found.write(args.out, frame=args.frame, overwrite=args.overwrite)
    print(f"wrote {args.out}")
    if args.apply is not None:
        moved = sd.resample(moving, fixed, transform=found, fill=args.fill)
        sd.write(args.apply, moved, overwrite=args.overwrite)
        print(f"wrote {args.apply}")


def resample(args: argparse.Namespace) -> None:
    """Write an image on another grid."""
    targets = (args.like, args.spacing, args.orientation, args.align or None, args.transform)
    if all(target is None for target in targets):
        raise UsageError("say where to: --spacing, --like, --orientation, --align or --transform")
    if args.like is not None and (args.spacing or args.orientation or args.align):
        raise UsageError("--like excludes --spacing, --orientation and --align")
    image = sd.read(args.input, **read_options(args, args.input, args.output))
    if args.like is not None:
        image = _apply_transform(args, image, to=sd.read(args.like))
    elif args.align:
        from spatial_duck.resampling._targets import aligned_grid

        geometry = image.geometry
        spacing = None if args.spacing is None else _spacing(args.spacing, geometry)
        names = [str(geometry.dims[i]) for i in geometry.sampled_axes]
        by_name = None if spacing is None else dict(zip(names, spacing, strict=True))
        image = _apply_transform(args, image, to=aligned_grid(geometry, by_name, args.orientation))
    else:
        if args.orientation is not None:
            image = sd.reorient(image, args.orientation)
        if args.spacing is not None:
            image = _apply_transform(args, image, spacing=_spacing(args.spacing, image.geometry))
        elif args.transform is not None:
            image = _apply_transform(args, image, to=image.geometry)
    _write(args, image)


def _apply_transform(args: argparse.Namespace, image: Any, **target: Any) -> Any:
    transform = None
    if args.transform is not None:
        like = target.get("to", image)
        transform = sd.Transform.read(args.transform, reference=like, moving=image)
    return sd.resample(
        image,
        transform=transform,
        interpolation=args.interpolation,
        fill="edge" if args.edge else args.fill,
        antialias=args.antialias,
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


def view(args: argparse.Namespace) -> None:
    """Draw three planes into a picture, or show them in the browser."""
    if args.interactive and args.out is not None:
        raise UsageError("view is either in the browser, or a picture with --out PNG")
    if args.out is None:
        _serve(args)
        return
    Figure = require("matplotlib.figure", "Plotting").Figure
    from spatial_duck.viewer import _plot as plotting

    image = sd.read(args.file, **read_options(args, args.file))
    overlay = None if args.overlay is None else sd.read(args.overlay)
    figure = Figure(figsize=plotting.figure_size(image), layout="constrained")
    plotting.plot(image, overlay, title=_title(args), figure=figure, limits=args.limits)
    figure.savefig(args.out, dpi=args.dpi)
    print(f"wrote {args.out}")


def _serve(args: argparse.Namespace) -> None:
    """Serve the planes until Ctrl-C, which is how this ends well."""
    from spatial_duck.viewer import Scene, Server, open_levels
    from spatial_duck.viewer._browser import open_browser

    levels = open_levels(args.file, **read_options(args, args.file))
    overlay = None if args.overlay is None else open_levels(args.overlay)
    names = (_title(args), Path(args.overlay or "").name)
    with Server(Scene(levels, overlay, names=names, limits=args.limits)) as server:
        print(f"{server.url}\nOnly this machine can open it. Ctrl-C ends.", flush=True)
        if not args.no_browser:
            open_browser(server.url)
        with suppress(KeyboardInterrupt):
            server.wait()


def _title(args: argparse.Namespace) -> str:
    return Path(args.file).name if args.title is None else str(args.title)


def pyramid(args: argparse.Namespace) -> None:
    """Write an OME-Zarr with its pyramid, or give one that is there other levels."""
    target = Path(args.input if args.output is None else args.output)
    if args.output is None:
        _check_single_image(args.input)
    image = sd.read(args.input, **{"level": 0, **read_options(args, args.input, str(target))})
    if args.orientation is not None:
        image = sd.reorient(image, args.orientation)
    options: dict[str, Any] = write_options(args, str(target))
    options |= {"method": args.method, "levels": args.levels}
    options["factors"] = None if args.factors is None else _factors(args.factors)
    if args.output is None:
        # As it was: its blocks, and a geometry that it holds beside the standard's.
        options |= {"oblique": "keep", "overwrite": True}
    else:
        options |= {"oblique": "keep" if args.keep_oblique else "refuse"}
        options |= {"overwrite": args.overwrite}
    if args.orientation is not None:
        options["axis_order"] = args.orientation
    sd.write(target, image, format="ome-zarr", **options)
    print(f"wrote {target}: {len(sd.pyramid(image, args.levels, **_shape(options)))} levels")


def _shape(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("method", "factors")}


def _check_single_image(path: str) -> None:
    """Refuse to replace a group that holds more than one image's levels."""
    from spatial_duck import io

    if io.sniff(path) != "ome-zarr":
        raise UsageError(f"{path} is no OME-Zarr: say where to write one, pyramid IN OUT.ome.zarr")
    levels = {str(n) for n in range(io.info(path).levels)}
    metadata = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata"}
    others = sorted({p.name for p in Path(path).iterdir()} - levels - metadata)
    if others:
        raise UsageError(
            f"{path} holds {', '.join(others)} beside its levels, which replacing it would lose: "
            "write another with pyramid IN OUT.ome.zarr"
        )


def _factors(words: Sequence[str]) -> int | dict[str, int]:
    try:
        if len(words) == 1 and "=" not in words[0]:
            return int(words[0])
        return {name: int(value) for name, value in (word.split("=", 1) for word in words)}
    except ValueError:
        raise UsageError(
            f"--factors takes one whole number, or NAME=NUMBER for axes; got {' '.join(words)!r}"
        ) from None


def check(args: argparse.Namespace) -> None:
    """Run the conformance kit over an image class."""
    from spatial_duck.testing import Conformance, check
    from spatial_duck.testing._report import LEVELS

    levels = tuple(args.level or LEVELS)
    subject = _import_object(args.subject)
    if isinstance(subject, type) and issubclass(subject, Conformance):
        if args.geometry_of or args.axis_aligned:
            raise UsageError("a Conformance class says its geometry_of and oblique itself")
        report = subject.report(levels)
    else:
        geometry_of = _import_object(args.geometry_of) if args.geometry_of else None
        oblique = not args.axis_aligned
        report = check(
            subject, geometry_of, levels=levels, oblique=oblique, name=args.subject.split(":")[1]
        )
    print(report)
    if not report.ok:
        raise SpatialDuckError(f"{len(report.wrong)} of {len(report.findings)} checks are wrong")
    if not report.right:
        raise SpatialDuckError(f"nothing could be checked: {report.findings[0].said}")


def _import_object(text: str) -> Any:
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


def demo(args: argparse.Namespace) -> None:
    """Run the main job on a real image."""
    from spatial_duck.cli import _demo as demo

    demo.run(Path(args.out))


def _write(args: argparse.Namespace, image: Any) -> None:
    options = write_options(args, args.output)
    if args.frame:
        options["frame"] = args.frame
    if args.keep_oblique:
        options["oblique"] = "keep"
    if getattr(args, "orientation", None) is not None:
        options["axis_order"] = args.orientation
    args.verb = "write"  # what is advised from here on
    sd.write(args.output, image, overwrite=args.overwrite, **options)
