"""The table of subcommands: names, arguments, help, and the function that runs each.

To add one, write its function in `spatial_duck.cli._actions` (or a module of its own) and add a row
to `COMMANDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.cli import _actions as actions
from spatial_duck.cli._reading import READING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["COMMANDS", "Command"]

# What the modules offer that the line need not load to be read.
_INTERPOLATIONS = ("nearest", "linear", "cubic", "quintic", "lanczos", "label")
_LEVELS = ("attributes", "indexing", "functions", "lazy", "exchange")
_METHODS = ("mean", "gaussian", "nearest", "mode", "label")


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


_OUTPUT = (
    _argument("input", metavar="IN", help="image file, or directory of a Zarr group"),
    _argument("output", metavar="OUT", help="its suffix tells the format"),
)
_KEEP_OBLIQUE = _argument(
    "--keep-oblique",
    action="store_true",
    help="for OME-Zarr: accept that other programs will see an oblique image unrotated",
)
_WRITING = (
    _argument("--overwrite", action="store_true", help="replace OUT if it is there"),
    _argument(
        "--frame",
        metavar="CODE",
        help="for NIfTI and MetaImage: which way x, y and z point in an image that does not say",
    ),
    _argument(
        "--output-format",
        metavar="NAME",
        help="write OUT in this format, where its suffix should not decide, such as dicom",
    ),
    _KEEP_OBLIQUE,
)

COMMANDS = (
    Command(
        "info",
        "show what a file says of its image, without reading voxels",
        (
            _argument("files", metavar="FILE", nargs="+", help="image file"),
            _argument("--json", action="store_true", help="print a list of objects for scripts"),
            *READING,
        ),
        actions.info,
        (
            "spatial-duck info brain.nii.gz",
            "spatial-duck info volume.ome.zarr --level 2",
            "spatial-duck info --json a.nrrd b.tif",
        ),
    ),
    Command(
        "convert",
        "write an image in another format, with its geometry",
        (*_OUTPUT, *_WRITING, *READING),
        actions.convert,
        (
            "spatial-duck convert brain.nrrd brain.nii.gz",
            "spatial-duck convert volume.mha volume.ome.zarr",
            "spatial-duck convert FOLDER ct.nii.gz --series 7 --tolerance 0.1",
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
                "--transform",
                metavar="FILE",
                help="move the image by this, as register writes it, or ANTs, elastix, FSL",
            ),
            _argument(
                "--orientation",
                metavar="CODE",
                help="permute and flip to the nearest orientation first, such as RAS; the axes of "
                "the file run there too, in its own order",
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
            _argument(
                "--edge",
                action="store_true",
                help="continue the outermost values instead of --fill",
            ),
            _argument(
                "--antialias",
                action="store_true",
                help="smooth along axes where voxels become larger",
            ),
            *_WRITING,
            *READING,
        ),
        actions.resample,
        (
            "spatial-duck resample brain.nii.gz brain_1mm.nii.gz --spacing 1",
            "spatial-duck resample brain.nii.gz brain_4mm.nii.gz --spacing 4 --antialias",
            "spatial-duck resample brain.nii.gz thick.nrrd --spacing z=5 --orientation RAS",
            "spatial-duck resample oblique.nii.gz out.nii.gz --spacing 1 --align",
            "spatial-duck resample ct.nii.gz out.nii.gz --like mr.nii.gz --transform ct_to_mr.h5",
            "spatial-duck resample labels.nrrd out.nrrd --like brain.nrrd --interpolation nearest",
        ),
    ),
    Command(
        "register",
        "find the transform that brings one image onto another",
        (
            _argument("fixed", metavar="FIXED", help="image that stays"),
            _argument("moving", metavar="MOVING", help="image that is brought onto it"),
            _argument(
                "--out",
                metavar="FILE",
                required=True,
                help="transform to write: .h5 or .tfm (ITK), .json or .zarr (OME-Zarr 0.6)",
            ),
            _argument("--apply", metavar="FILE", help="write MOVING on the grid of FIXED here"),
            _argument(
                "--model",
                choices=("translation", "rigid", "similarity", "affine", "bspline", "syn"),
                default="rigid",
                help="default: rigid",
            ),
            _argument(
                "--metric",
                choices=("mattes", "mean_squares", "correlation"),
                default="mattes",
                help="default: mattes, mutual information",
            ),
            _argument("--at", type=float, metavar="S", help="spacing of the finest level used"),
            _argument(
                "--initial",
                choices=("auto", "world", "geometry", "moments"),
                default="auto",
                help="where to start: where the images lie, their centres or centres of mass on "
                "each other; default: the best of these",
            ),
            _argument("--seed", type=int, default=0, help="of the voxels sampled; default 0"),
            _argument("--fill", type=float, default=0.0, help="value outside; default 0"),
            _argument("--frame", metavar="CODE", help="frame of images that do not say"),
            _argument("--overwrite", action="store_true", help="replace files that are there"),
            *READING,
        ),
        actions.register,
        (
            "spatial-duck register mr.nii.gz ct.nii.gz --out ct_to_mr.h5 --apply moved.nii.gz",
            "spatial-duck register a.nrrd b.nrrd --out ab.tfm --model affine --at 4",
            "spatial-duck register t0.tif t1.tif --out drift.json --metric correlation",
        ),
    ),
    Command(
        "pyramid",
        "write an OME-Zarr at several resolutions, or give one new levels",
        (
            _argument("input", metavar="IN", help="image file; of an OME-Zarr its finest level"),
            _argument(
                "output",
                metavar="OUT",
                nargs="?",
                help="OME-Zarr to write; without it IN is replaced once the new one is complete",
            ),
            _argument(
                "--method",
                choices=_METHODS,
                default="mean",
                help="how the voxels of a bin become one: mean and gaussian for intensities, mode "
                "and label for labels; default: mean",
            ),
            _argument(
                "--factors",
                nargs="+",
                metavar="F",
                help="bin length from level to level: one number for the axes of space, or "
                "NAME=NUMBER; default: 2 along the finest axes, until voxels are isotropic",
            ),
            _argument(
                "--levels",
                type=int,
                metavar="N",
                help="with the finest; default: until 64 voxels are left",
            ),
            _argument(
                "--orientation",
                metavar="CODE",
                help="permute and flip to the nearest orientation first, such as RAS",
            ),
            _argument("--overwrite", action="store_true", help="replace OUT if it is there"),
            _KEEP_OBLIQUE,
            *READING,
        ),
        actions.pyramid,
        (
            "spatial-duck pyramid brain.nii.gz brain.ome.zarr",
            "spatial-duck pyramid labels.nrrd labels.ome.zarr --method label --factors z=1 y=2 x=2",
            "spatial-duck pyramid volume.ome.zarr --levels 5",
        ),
    ),
    Command(
        "view",
        "look at an image: three planes in the browser, or as a picture",
        (
            _argument("file", metavar="FILE", help="image file"),
            _argument(
                "--interactive",
                action="store_true",
                help="in the browser, linked, an image of any size; reads only what it shows: what "
                "is done without --out",
            ),
            _argument("--out", metavar="PNG", help="picture of the planes through the centre"),
            _argument("--overlay", metavar="FILE", help="draw this image over it, on its own grid"),
            _argument("--limits", nargs=2, type=float, metavar=("LOW", "HIGH"), help="grey values"),
            _argument("--title", help="default: the file's name"),
            _argument("--dpi", type=float, default=120.0, help="of the picture; default: 120"),
            _argument("--no-browser", action="store_true", help="print the address, open nothing"),
            *READING,
        ),
        actions.view,
        (
            "spatial-duck view brain.nii.gz",
            "spatial-duck view volume.ome.zarr --overlay tumour.nrrd",
            "spatial-duck view brain.nrrd --overlay tumour.nrrd --out both.png",
        ),
    ),
    Command(
        "check",
        "check that an image class keeps each voxel's value and position",
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
                choices=_LEVELS,
                help="check this level alone; may be given again",
            ),
            _argument(
                "--axis-aligned", action="store_true", help="axes run along the world's axes only"
            ),
        ),
        actions.check,
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
        actions.demo,
        (
            "spatial-duck demo",
            "spatial-duck demo --out demo-output",
            "spatial-duck demo --out results/demo",
        ),
    ),
)
