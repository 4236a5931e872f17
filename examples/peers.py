"""Do the voxels of other libraries' images keep their position? The table of the README.

Run it with ``python examples/peers.py``. For each installed library, an image with a spacing and an
origin is filled with voxel numbers, and each operation is applied as written here; then each
remaining number is looked up in the result, and its position is compared with that before.

kept: every voxel has its position. moved: the result has a geometry, which is wrong. bare: the
result has no geometry. no: an error is raised.
"""

from __future__ import annotations

import warnings
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (6, 7, 8)
SPACING, ORIGIN = (3.0, 2.0, 0.5), (-10.0, 20.0, 40.0)

#: The operations. Indexing is the library's own; the others are NumPy's, called with its object.
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "x[1:-1, ::2]": lambda x: x[1:-1, ::2],
    "x[::-1]": lambda x: x[::-1],
    "x[2]": lambda x: x[2],
    "np.flip(x)": np.flip,
    "np.transpose(x)": np.transpose,
    "np.rot90(x)": np.rot90,
    "np.pad(x, 2)": lambda x: np.pad(x, 2),
    "np.sqrt(x)": lambda x: np.sqrt(x) ** 2,
    "np.concatenate": lambda x: np.concatenate([x[:2], x[2:]]),
}


class Peer(NamedTuple):
    """A library: functions that make an image of it, and return its values and positions.

    ``make(values)`` returns an image with its first voxel at `ORIGIN`; ``values(image)`` the array;
    ``position(image, index)`` the position of a voxel in the order z, y, x, or None if there is no
    geometry.
    """

    package: str
    make: Callable[[np.ndarray], Any]
    values: Callable[[Any], np.ndarray]
    position: Callable[[Any, tuple[int, ...]], Any]


def _no_position(_image: Any, _index: Any) -> None:
    """Stand for libraries whose arrays have a unit and no geometry."""


def _ours(values: np.ndarray) -> Any:
    import spatial_duck as sd

    return sd.SpatialArray(values, spacing=SPACING, origin=ORIGIN)


def _xarray(values: np.ndarray) -> Any:
    import xarray as xr

    axes = zip("zyx", SHAPE, SPACING, ORIGIN, strict=True)
    return xr.DataArray(
        values, dims=tuple("zyx"), coords={n: o + s * np.arange(c) for n, c, s, o in axes}
    )


def _position_xarray(image: Any, index: tuple[int, ...]) -> Any:
    if not all(name in getattr(image, "coords", {}) for name in "zyx"):
        return None
    where = dict(zip(image.dims, index, strict=True))
    return [
        image.coords[n].values[where[n]] if n in where else image.coords[n].values for n in "zyx"
    ]


def _metatensor(values: np.ndarray) -> Any:
    import torch
    from monai.data import MetaTensor

    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return MetaTensor(torch.from_numpy(values), affine=torch.from_numpy(affine))


def _position_metatensor(image: Any, index: tuple[int, ...]) -> Any:
    if not hasattr(image, "affine"):
        return None
    return (np.asarray(image.affine)[:3] @ [*index, *[0] * (3 - len(index)), 1.0]).tolist()


def _simpleitk(values: np.ndarray) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN[::-1])
    return image


def _position_simpleitk(image: Any, index: tuple[int, ...]) -> Any:
    if not hasattr(image, "TransformIndexToPhysicalPoint"):
        return None
    point = image.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])[::-1]
    return point if len(point) == 3 else [np.nan, *point]


def _values_simpleitk(image: Any) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image) if isinstance(image, sitk.Image) else np.asarray(image)


def _nibabel(values: np.ndarray) -> Any:
    import nibabel

    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return nibabel.Nifti1Image(values, affine)


def _position_nibabel(image: Any, index: tuple[int, ...]) -> Any:
    return (image.affine[:3] @ [*index, 1.0]).tolist() if hasattr(image, "affine") else None


def _with_unit(package: str, unit: str) -> Callable[[np.ndarray], Any]:
    def make(values: np.ndarray) -> Any:
        module = import_module(package)
        return values * (module.UnitRegistry()(unit) if package == "pint" else module.Unit(unit))

    return make


def _bare(image: Any) -> np.ndarray:
    return np.asarray(getattr(image, "magnitude", getattr(image, "value", image)))


PEERS = {
    "SpatialArray": Peer(
        "spatial_duck", _ours, lambda x: x.data, lambda x, i: x.index_to_physical(i)
    ),
    "xarray": Peer("xarray", _xarray, np.asarray, _position_xarray),
    "MetaTensor": Peer("monai", _metatensor, np.asarray, _position_metatensor),
    "SimpleITK": Peer("SimpleITK", _simpleitk, _values_simpleitk, _position_simpleitk),
    "nibabel": Peer(
        "nibabel", _nibabel, lambda x: np.asarray(getattr(x, "dataobj", x)), _position_nibabel
    ),
    "pint": Peer("pint", _with_unit("pint", "mm"), _bare, _no_position),
    "unyt": Peer("unyt", _with_unit("unyt", "mm"), _bare, _no_position),
    "astropy": Peer("astropy.units", _with_unit("astropy.units", "mm"), _bare, _no_position),
}


def verdict(peer: Peer, operation: str) -> str:
    """Try one operation on one library's image, and look its voxels up."""
    # From 1: what padding adds is 0, and no voxel.
    numbers = np.arange(1.0, 1 + np.prod(SHAPE)).reshape(SHAPE)
    image = peer.make(numbers)
    # nibabel's own indexing is image.slicer[...].
    operand = getattr(image, "slicer", image) if operation.startswith("x[") else image
    if peer.package == "SimpleITK" and operation.startswith("x["):
        operand = _Reversed(image)
    try:
        result = OPERATIONS[operation](operand)
    except Exception:  # each library refuses in its own way
        return "no"
    values = peer.values(result)
    if values.dtype == object or peer.position(result, (0,) * values.ndim) is None:
        return "bare"
    for index in np.ndindex(values.shape):
        number = round(float(values[index]))
        if number == 0:
            continue
        before = np.unravel_index(number - 1, SHAPE)
        expected = [o + s * i for o, s, i in zip(ORIGIN, SPACING, before, strict=True)]
        if not np.allclose(np.asarray(peer.position(result, index), float), expected, atol=1e-6):
            return "moved"
    return "kept"


class _Reversed:
    """SimpleITK's own indexing, which takes x, y, z."""

    def __init__(self, image: Any) -> None:
        self.image = image

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        return self.image[tuple([*keys, *[slice(None)] * (3 - len(keys))][::-1])]


def table() -> list[list[str]]:
    """Return the table with its header; libraries that are not installed are left out."""
    there = {}
    for name, peer in PEERS.items():
        try:
            import_module(peer.package)
        except ImportError:
            print(f"{name} is not installed: left out")
            continue
        there[name] = peer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        rows = [
            [f"`{operation}`", *[verdict(peer, operation) for peer in there.values()]]
            for operation in OPERATIONS
        ]
    return [["", *there], *rows]


def version(name: str) -> str:
    """Return the installed version of a library in the table."""
    return metadata.version(PEERS[name].package.partition(".")[0].replace("_", "-"))


def main() -> None:
    header, *rows = table()
    print("| " + " | ".join(header) + " |")
    print("| --- " * len(header) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print("\n" + ", ".join(f"{name} {version(name)}" for name in header[2:]))


if __name__ == "__main__":
    main()
