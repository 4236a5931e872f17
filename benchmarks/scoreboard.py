"""The scoreboard table: the conformance checks run on the image classes of many libraries.

Run it with ``python -m benchmarks.scoreboard`` (one library: add its name; every finding with its
smallest example: ``--examples``). A library is one class below that says how its images are made
and read, and which functions of its own take the place of NumPy's. What a library does not offer
counts neither way.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spatial_duck.testing import Conformance, Status
from spatial_duck.testing._report import LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spatial_duck.testing import Report


class Entry(Conformance):
    """One row of the table: an adapter of a class, and the packages that it needs."""

    title: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    ours: ClassVar[bool] = False


def affine_of(spacing: Any, origin: Any, direction: Any) -> np.ndarray:
    """Return the matrix that maps an index to its position."""
    n = len(spacing)
    affine = np.eye(n + 1)
    affine[:n, :n], affine[:n, n] = np.asarray(direction) * spacing, origin
    return affine


def place_of_affine(affine: Any) -> tuple[Any, Any, Any]:
    """Return spacing, origin and direction of such a matrix."""
    affine = np.asarray(affine, float)
    spacing = np.linalg.norm(affine[:-1, :-1], axis=0)
    return spacing, affine[:-1, -1], affine[:-1, :-1] / spacing


def place_of_coordinates(image: Any) -> tuple[Any, Any, Any, tuple[int, ...]]:
    """Return spacing, origin and direction of an xarray.DataArray with dims z, y, x."""
    names = sorted((str(n) for n in image.coords), key="zyx".index)
    steps = {n: np.diff(np.atleast_1d(image.coords[n].values)) for n in image.dims}
    if any(s.size and (np.isnan(s).any() or np.ptp(s) > 1e-6) for s in steps.values()):
        raise ValueError("the coordinates are not evenly spaced")
    first = {d: float(s[0]) if s.size else 1.0 for d, s in steps.items()}
    origin = [float(np.atleast_1d(image.coords[n].values)[0]) for n in names]
    direction = [[np.sign(first[d]) * (n == d) for d in image.dims] for n in names]
    return [abs(s) for s in first.values()], origin, direction, tuple(range(image.ndim))


# --- adapters -----------------------------------------------------------------------------


class OnNumPy(Entry):
    title, packages, ours = "SpatialArray on NumPy", (), True

    @staticmethod
    def factory(data, spacing, origin, direction):
        from spatial_duck import SpatialArray

        return SpatialArray(data, spacing=spacing, origin=origin, direction=direction)


class OnDask(OnNumPy):
    title, packages = "SpatialArray on Dask", ("dask",)

    @staticmethod
    def factory(data, *place):
        import dask.array as da

        return OnNumPy.factory(da.asarray(data, chunks=2), *place)


class OnZarr(OnNumPy):
    title, packages = "SpatialArray on Zarr", ("zarr", "dask")

    @staticmethod
    def factory(data, *place):
        import zarr

        store = zarr.storage.MemoryStore()
        array = zarr.create_array(store, data=np.asarray(data), chunks=(2,) * data.ndim)
        return OnNumPy.factory(array, *place)


class OnStrict(OnNumPy):
    title, packages = "SpatialArray on array_api_strict", ("array_api_strict",)

    @staticmethod
    def factory(data, *place):
        import array_api_strict

        return OnNumPy.factory(array_api_strict.asarray(np.asarray(data)), *place)


class SimpleITKImage(Entry):  # its axes are x, y, z
    title, packages = "SimpleITK.Image", ("SimpleITK",)

    @staticmethod
    def factory(data, spacing, origin, direction):
        import SimpleITK as sitk

        image = sitk.GetImageFromArray(np.asarray(data).T)
        image.SetSpacing(spacing), image.SetOrigin(origin), image.SetDirection(direction.ravel())
        return image

    @staticmethod
    def geometry_of(x):
        n = x.GetDimension()
        return x.GetSpacing(), x.GetOrigin(), np.reshape(x.GetDirection(), (n, n))

    @staticmethod
    def values_of(x):
        return sys.modules["SimpleITK"].GetArrayFromImage(x).T

    functions: ClassVar = {
        "flip": lambda x, axis: _sitk().Flip(x, [i == axis for i in range(x.GetDimension())]),
        "transpose": lambda x, axes: _sitk().PermuteAxes(x, axes),
        "pad": lambda x, w, constant_values: _sitk().ConstantPad(
            x, *zip(*w, strict=True), constant_values
        ),
        "sqrt": lambda x: _sitk().Sqrt(x),
        "clip": lambda x, low, high: _sitk().Clamp(x, x.GetPixelID(), low, high),
        "index_to_physical": lambda x, i: x.TransformContinuousIndexToPhysicalPoint(i),
        "physical_to_index": lambda x, p: x.TransformPhysicalPointToContinuousIndex(p),
    }


def _sitk():
    return import_module("SimpleITK")


class ItkImage(Entry):  # its arrays are z, y, x
    title, packages = "itk.Image", ("itk",)

    @staticmethod
    def factory(data, spacing, origin, direction):
        import itk

        image = itk.image_from_array(np.ascontiguousarray(data))
        image.SetSpacing(spacing[::-1]), image.SetOrigin(origin)
        image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(direction[:, ::-1])))
        return image

    @staticmethod
    def geometry_of(x):
        direction = import_module("itk").array_from_matrix(x.GetDirection())
        return tuple(x.GetSpacing())[::-1], tuple(x.GetOrigin()), direction[:, ::-1]

    functions: ClassVar = {
        "flip": lambda x, axis: import_module("itk").flip_image_filter(
            x, flip_axes=[i == axis for i in range(x.ndim)][::-1], flip_about_origin=False
        ),
        "sqrt": lambda x: import_module("itk").sqrt_image_filter(x),
    }


class Nibabel(Entry):
    title, packages, ndims = "nibabel.Nifti1Image", ("nibabel",), (3,)

    @staticmethod
    def factory(data, *place):
        return import_module("nibabel").Nifti1Image(np.asarray(data), affine_of(*place))

    @staticmethod
    def geometry_of(x):
        return place_of_affine(x.affine)

    @staticmethod
    def values_of(x):
        return np.asarray(x.dataobj)

    functions: ClassVar = {"index": lambda x, key: x.slicer[key]}


class MetaTensor(Entry):
    title, packages, ndims = "monai MetaTensor", ("monai", "torch"), (3,)

    @staticmethod
    def factory(data, *place):
        values = import_module("torch").from_numpy(np.array(data))
        return import_module("monai.data").MetaTensor(values, affine=affine_of(*place))

    @staticmethod
    def geometry_of(x):
        return place_of_affine(x.affine)

    functions: ClassVar = {
        "flip": lambda x, axis: x.flip(axis),
        "transpose": lambda x, axes: x.permute(axes),
        "concatenate": lambda pieces, axis: import_module("torch").cat(pieces, axis),
        "sqrt": lambda x: x.sqrt(),
        "clip": lambda x, low, high: x.clip(low, high),
        "squeeze": lambda x, axis: x.squeeze(axis),
    }


class TorchIO(Entry):  # its first axis is the channel
    title, packages, ndims = "torchio.ScalarImage", ("torchio", "torch"), (3,)

    @staticmethod
    def factory(data, *place):
        values = import_module("torch").from_numpy(np.array(data))[None]
        return import_module("torchio").ScalarImage(tensor=values, affine=affine_of(*place))

    @staticmethod
    def geometry_of(x):
        return place_of_affine(x.affine)

    @staticmethod
    def values_of(x):
        return x.data[0]

    functions: ClassVar = {
        "pad": lambda x, w, constant_values: import_module("torchio").Pad(
            sum(w, ()), padding_mode=constant_values
        )(x),
    }


class Highdicom(Entry):
    title, packages, ndims, sheared = "highdicom.Volume", ("highdicom",), (3,), False

    @staticmethod
    def factory(data, *place):
        volume = import_module("highdicom").Volume
        return volume(np.asarray(data), affine_of(*place), coordinate_system="PATIENT")

    @staticmethod
    def geometry_of(x):
        return place_of_affine(x.affine)

    @staticmethod
    def values_of(x):
        return x.array

    functions: ClassVar = {
        "flip": lambda x, axis: x.flip_spatial(axis),
        "transpose": lambda x, axes: x.permute_spatial_axes(axes),
        "swapaxes": lambda x, a, b: x.swap_spatial_axes(a, b),
        "pad": lambda x, w, constant_values: x.pad(w, constant_value=constant_values),
        "clip": lambda x, low, high: x.clip(low, high),
        "index_to_physical": lambda x, i: x.map_indices_to_reference(np.array([i]))[0],
        "physical_to_index": lambda x, p: x.map_reference_to_indices(np.array([p]))[0],
    }


class Xarray(Entry):
    title, packages, oblique = "xarray.DataArray", ("xarray",), False

    @staticmethod
    def factory(data, spacing, origin, direction):
        axes = zip(
            "zyx"[-data.ndim :], data.shape, spacing, origin, np.diag(direction), strict=True
        )
        coords = {d: o + r * s * np.arange(n) for d, n, s, o, r in axes}
        return import_module("xarray").DataArray(data, dims=tuple(coords), coords=coords)

    geometry_of = staticmethod(place_of_coordinates)


class XarrayOwn(Xarray):
    title = "xarray.DataArray, its own functions"
    functions: ClassVar = {
        "transpose": lambda x, axes: x.transpose(*(x.dims[a] for a in axes)),
        "pad": lambda x, w, constant_values: x.pad(
            dict(zip(x.dims, w, strict=True)), constant_values=constant_values
        ),
        "concatenate": lambda pieces, axis: import_module("xarray").concat(
            pieces, pieces[0].dims[axis]
        ),
        "where": lambda condition, x, other: x.where(condition, other),
        "squeeze": lambda x, axis: x.squeeze(x.dims[axis]),
    }


class SpatialImage(Xarray):
    title, packages, flipped = "spatial_image (xarray)", ("spatial_image",), False

    @staticmethod
    def factory(data, spacing, origin, direction):
        dims = tuple("zyx"[-data.ndim :])
        place = (dict(zip(dims, numbers, strict=True)) for numbers in (spacing, origin))
        return import_module("spatial_image").to_spatial_image(data, dims, *place)


class NgffImage(Entry):
    title, packages, oblique, flipped = "ngff_zarr.NgffImage", ("ngff_zarr",), False, False

    @staticmethod
    def factory(data, spacing, origin, direction):
        dims = tuple("zyx"[-data.ndim :])
        place = (dict(zip(dims, numbers, strict=True)) for numbers in (spacing, origin))
        return import_module("ngff_zarr").NgffImage(data, dims, *place)

    @staticmethod
    def geometry_of(x):
        place = [x.scale[d] for d in x.dims], [x.translation[d] for d in x.dims]
        return *place, np.eye(len(x.dims))

    @staticmethod
    def values_of(x):
        return x.data


class Ants(Entry):
    title, packages = "ants.ANTsImage", ("ants",)

    @staticmethod
    def factory(data, spacing, origin, direction):
        return import_module("ants").from_numpy(np.asarray(data), origin, spacing, direction)

    @staticmethod
    def values_of(x):
        return x.numpy()

    functions: ClassVar = {
        "index_to_physical": lambda x, i: import_module("ants").transform_index_to_physical_point(
            x, i
        ),
    }


class PyVista(Entry):
    title, packages, ndims = "pyvista.ImageData", ("pyvista",), (3,)

    @staticmethod
    def factory(data, spacing, origin, direction):
        image = import_module("pyvista").ImageData(
            dimensions=data.shape, spacing=spacing, origin=origin, direction_matrix=direction
        )
        image.point_data["values"] = np.asarray(data).ravel(order="F")
        return image

    @staticmethod
    def geometry_of(x):
        # Its first point need not be its origin: the extent may begin elsewhere.
        return x.spacing, x.points[0], x.direction_matrix

    @staticmethod
    def values_of(x):
        return x.point_data["values"].reshape(x.dimensions, order="F")


class NDCube(Entry):
    title, packages, ndims = "ndcube.NDCube", ("ndcube", "astropy"), (2, 3)

    @staticmethod
    def factory(data, spacing, origin, direction):
        wcs = import_module("astropy.wcs").WCS(naxis=data.ndim)
        wcs.wcs.crpix, wcs.wcs.crval = [1.0] * data.ndim, origin
        wcs.wcs.cdelt, wcs.wcs.pc = [1.0] * data.ndim, (direction * spacing)[:, ::-1]
        return import_module("ndcube").NDCube(data, wcs)

    @staticmethod
    def geometry_of(x):
        n, world = len(x.shape), x.wcs.low_level_wcs.pixel_to_world_values
        points = [np.ravel(world(*row)) for row in np.vstack([np.zeros(n), np.eye(n)[::-1]])]
        steps = np.array(points[1:]) - points[0]
        spacing = np.linalg.norm(steps, axis=1)
        return spacing, points[0], (steps / spacing[:, None]).T

    @staticmethod
    def values_of(x):
        return x.data


ENTRIES: tuple[type[Entry], ...] = (
    OnNumPy, OnDask, OnZarr, OnStrict, ItkImage, SimpleITKImage, Nibabel, MetaTensor, TorchIO,
    Highdicom, Xarray, XarrayOwn, SpatialImage, NgffImage, Ants, PyVista, NDCube,
)  # fmt: skip

#: Distributions whose names differ from their packages'.
DISTRIBUTIONS = {"ants": "antspyx"}


# --- the table ----------------------------------------------------------------------------


def missing(entry: type[Entry]) -> str | None:
    """Return the first package that a row needs and that is not installed, or None."""
    for package in entry.packages:
        try:
            import_module(package)
        except ImportError:
            return package
    return None


def version(entry: type[Entry]) -> str:
    """Return the installed version of a row's library."""
    if not entry.packages:
        return np.__version__
    package = entry.packages[0]
    return metadata.version(DISTRIBUTIONS.get(package, package.replace("_", "-")))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep compiled libraries from writing to the terminal what they also raise."""
    logging.disable(logging.CRITICAL)
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
            with contextlib.redirect_stdout(nowhere):
                yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        logging.disable(logging.NOTSET)


def run(entry: type[Entry]) -> Report:
    """Run all checks on one class, and keep its library quiet."""
    with quiet():
        return entry.report()


HEADER = ("image class", "version", *LEVELS, "wrong")


def row(entry: type[Entry]) -> list[str]:
    """Return one row of the table: for each level how many checks are right, wrong, not offered."""
    if package := missing(entry):
        return [entry.title, f"{package} is not installed", *["–"] * (len(LEVELS) + 1)]
    report = run(entry)
    counts = [
        " · ".join(str(len(report.of(status, level))) for status in Status) for level in LEVELS
    ]
    wrong = ", ".join(f"`{f.name}`" for f in report.wrong) or "nothing"
    return [entry.title, version(entry), *counts, wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the conformance checks on many libraries.")
    parser.add_argument("names", nargs="*", help="parts of titles; all by default")
    parser.add_argument("--examples", action="store_true", help="print each report")
    args = parser.parse_args()
    chosen = [
        e
        for e in ENTRIES
        if not args.names or any(n.lower() in e.title.lower() for n in args.names)
    ]
    if args.examples:
        for entry in chosen:
            print(
                f"{entry.title}: {missing(entry)} is not installed"
                if missing(entry)
                else run(entry)
            )
        return
    print("| " + " | ".join(HEADER) + " |")
    print("| --- " * len(HEADER) + "|")
    for entry in chosen:
        print("| " + " | ".join(row(entry)) + " |", flush=True)


if __name__ == "__main__":
    main()
