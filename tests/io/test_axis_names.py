"""Axes of space under names of their own: kept where a format can, else the call to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import GeometryLossError
from spatial_duck.io._axis_names import restore_names, standard_names

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("zarr", reason="needs zarr")


def image(dims: tuple[str, ...], **more: Any) -> sd.SpatialArray:
    shape = (2, 3, 4, 5)[-len(dims) :]
    sampled = tuple(n for n in dims if n != "c")
    spacing, origin = (0.5, 2, 3, 4)[-len(sampled) :], (7, 6, 5, 4)[: len(sampled)]
    return sd.SpatialArray(
        np.arange(np.prod(shape), dtype="i2").reshape(shape), dims=dims, sampled=sampled,
        spacing=spacing, origin=origin, **more,
    )  # fmt: skip


#: Names, and the letters that they get.
NAMES = {
    ("Z", "Y", "X"): "zyx",
    ("X", "Y", "Z"): "xyz",
    ("lat", "lon"): "yx",
    ("slice", "y", "x"): "zyx",
    ("slice", "row", "col"): "zyx",
    ("a", "b", "c0"): "zyx",
    ("u", "v"): "yx",
    ("t", "Y", "X"): "tyx",
    ("c", "depth", "row", "x"): "czyx",
    ("time", "lat", "lon"): "tyx",
}


def named(dims: tuple[str, ...]) -> sd.SpatialArray:
    if "time" not in dims:
        return image(dims)
    return image(dims, world=sd.World(dims, ("s", "km", "km"), types={"time": "time"}))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.5", "0.6"])
@pytest.mark.parametrize("dims", list(NAMES), ids="-".join)
def test_own_names_come_back(dims: tuple[str, ...], version: str, tmp_path: Path) -> None:
    given = named(dims)
    io.write(tmp_path / "a.ome.zarr", given, version=version)
    back = io.read(tmp_path / "a.ome.zarr", dims=dims)
    assert back.geometry == given.geometry
    assert back.world.types == given.world.types
    assert np.array_equal(np.asarray(back), given.data)
    standard = io.read(tmp_path / "a.ome.zarr", exact=False)
    assert standard.dims == tuple(sorted(NAMES[dims], key="tczyx".index))


@pytest.mark.parametrize("name", ["a.ome.tif", "a.vti", "a.h5", "a.npy"])
@pytest.mark.parametrize("dims", list(NAMES), ids="-".join)
def test_own_names_come_back_from_files(dims: tuple[str, ...], name: str, tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="needs tifffile")
    pytest.importorskip("h5py", reason="needs h5py")
    given = named(dims)
    if name == "a.vti" and NAMES[dims][0] == "t":
        with pytest.raises(GeometryLossError, match="no time axis"):
            io.write(tmp_path / name, given)
        given = given[1].replace(geometry=given[1].geometry.to_world(given.world.axes[1:]))
        dims = dims[1:]
    io.write(tmp_path / name, given)
    back = io.read(tmp_path / name)
    if back.ndim > len(dims):  # VTI has three axes of space
        back = back[0].replace(geometry=back[0].geometry.to_world(given.world.axes))
    back = back.transpose([back.dims.index(n) for n in dims])
    assert back.geometry.to_world(given.world.axes) == given.geometry
    assert back.geometry.to_world(given.world.axes).world.types == given.world.types
    assert np.array_equal(np.asarray(back), given.data)


def test_others_read_files_with_own_names_by_their_letters(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    pyvista = pytest.importorskip("pyvista", reason="needs pyvista")
    given = image(("slice", "row", "col"), unit="um")
    io.write(tmp_path / "a.ome.tif", given)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.series[0].axes == "ZYX"
        assert 'PhysicalSizeZ="2.0"' in file.ome_metadata
        assert np.array_equal(file.asarray(), given.data)
    assert io.read(tmp_path / "a.ome.tif", exact=False).dims == ("z", "y", "x")
    io.write(tmp_path / "a.vti", given)
    grid = pyvista.read(tmp_path / "a.vti")
    assert grid.spacing == (4, 3, 2)
    assert grid.origin == (5, 6, 7)


def test_a_plain_axis_of_vti_keeps_its_name(tmp_path: Path) -> None:
    given = sd.SpatialArray(np.arange(120.0).reshape(3, 4, 5, 2), dims=("z", "y", "x", "gene"),
                            coords={"gene": ("gene", ["a", "b"])})  # fmt: skip
    io.write(tmp_path / "a.vti", given)
    back = io.read(tmp_path / "a.vti")
    assert back.dims == given.dims
    assert back.coords["gene"].dims == ("gene",)
    assert list(back.coords["gene"]) == ["a", "b"]


def test_names_that_are_no_names_are_refused(tmp_path: Path) -> None:
    io.write(tmp_path / "a.vti", image(("slice", "row", "col")))
    raw = (tmp_path / "a.vti").read_bytes()
    words = [" ".join(str(code) for code in text).encode() for text in (b"world", b"whirl")]
    (tmp_path / "a.vti").write_bytes(raw.replace(*words, 1))
    with pytest.raises(sd.FormatError, match="names of axes"):
        io.read(tmp_path / "a.vti")


@pytest.mark.parametrize("dims", [d for d in NAMES if "c" not in d], ids="-".join)
def test_the_call_that_an_error_names_is_right(dims: tuple[str, ...], tmp_path: Path) -> None:
    """Another format says what to call; that is written then, with every voxel in its place."""
    given = named(dims)
    with pytest.raises(GeometryLossError, match=r"image\.replace\(dims=") as error:
        io.write(tmp_path / "a.nrrd", given)
    call = str(error.value).partition(": ")[2]
    renamed = eval(call, {"image": given, "sd": sd})
    assert renamed.dims == tuple(NAMES[dims])
    assert np.array_equal(renamed.origin, given.origin)
    assert np.array_equal(renamed.spacing, given.spacing)
    io.write(tmp_path / "a.nrrd", renamed)


@given(
    dims=st.lists(
        st.sampled_from(["z", "Y", "lat", "row", "slice", "a", "b", "x", "i", "LON"]),
        min_size=1, max_size=4, unique=True,
    ).map(tuple)
)  # fmt: skip
def test_names_are_letters_each_once(dims: tuple[str, ...]) -> None:
    geometry = image(dims).geometry
    renamed, names = standard_names(geometry)
    assert len(set(renamed.dims)) == len(dims)
    assert renamed.dims == renamed.world.axes
    if len(dims) <= 3:
        assert set(renamed.dims) <= set("zyx")
    assert np.array_equal(renamed.origin, geometry.origin)
    assert restore_names("a file", renamed, names) == geometry


def test_names_of_their_own_are_not_made_anatomical(tmp_path: Path) -> None:
    """Nobody said that an axis called slice is z of the frame."""
    given = image(("slice", "y", "x"), frame="LPS", unit="mm")
    io.write(tmp_path / "a.ome.zarr", given)
    assert io.read(tmp_path / "a.ome.zarr").geometry == given.geometry
    assert io.read(tmp_path / "a.ome.zarr", exact=False).frame is None


def test_what_measures_no_space_is_refused(tmp_path: Path) -> None:
    world = sd.World(("lambda", "y", "x"), types={"lambda": "other"})
    with pytest.raises(GeometryLossError, match=r"'lambda'.*index those axes with an integer"):
        io.write(tmp_path / "a.ome.zarr", image(("lambda", "y", "x"), world=world))
    with pytest.raises(GeometryLossError, match="index those axes with an integer"):
        io.write(tmp_path / "a.ome.zarr", image(("p", "q", "r", "s")))
