"""TIFF, MINC, HDF5, .npy, VTI and pictures: the same points as in each format's own library."""

from __future__ import annotations

import base64
import json
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, GeometryLossError, UnsafeInputError
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]


def volume(oblique: bool = True, dtype: str = "u2", unit: str = "um") -> sd.SpatialArray:
    return sd.SpatialArray(
        np.arange(4 * 30 * 40).reshape(4, 30, 40).astype(dtype), spacing=(2.5, 0.7, 0.3),
        origin=(-10.1, 20.3, 7.77) if oblique else None, direction=TURN if oblique else None,
        world=sd.World(("z", "y", "x"), unit, "RAS" if oblique else None),
    )  # fmt: skip


# --- TIFF ---------------------------------------------------------------------------------


@pytest.mark.fact("units", "OME-TIFF", "written", "tifffile")
def test_tifffile_reads_our_ome_tiff(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    values = np.arange(2 * 3 * 4 * 20 * 30, dtype="u2").reshape(2, 3, 4, 20, 30)
    image = sd.SpatialArray(
        values, dims=("t", "c", "z", "y", "x"), spacing=(5, 2, 0.5, 0.25),
        world=sd.World(("t", "z", "y", "x"), {"t": "ms", "z": "um", "y": "um", "x": "um"}),
        attrs={"ome": {"Name": "cells"}}, coords={"channel": ("c", ["a", "b", "c"])},
    )  # fmt: skip
    io.write(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        series = file.series[0]
        assert (series.kind, series.axes, series.shape) == ("ome", "TCZYX", values.shape)
        assert np.array_equal(series.asarray(), values)
        for text in ('PhysicalSizeX="0.25"', 'PhysicalSizeXUnit="µm"', 'PhysicalSizeZ="2.0"',
                     'TimeIncrement="5.0"', 'TimeIncrementUnit="ms"', 'Name="cells"',
                     'Name="b"'):  # fmt: skip
            assert text in file.ome_metadata
    found = io.read(tmp_path / "a.ome.tif")
    assert found.geometry == image.geometry
    assert found.attrs["ome"] == image.attrs["ome"]
    assert found.coords["channel"] == image.coords["channel"]
    standard = io.read(tmp_path / "a.ome.tif", exact=False)
    assert_geometry_equal(standard, image, tolerance=1e-9)


def test_imagej_reads_our_hyperstack(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    values = np.arange(2 * 3 * 4 * 20 * 30, dtype="u2").reshape(2, 4, 3, 20, 30)
    image = sd.SpatialArray(
        values, dims=("t", "z", "c", "y", "x"), spacing=(5, 2, 0.5, 0.25),
        world=sd.World(("t", "z", "y", "x"), {"t": "s", "z": "um", "y": "um", "x": "um"}),
    )  # fmt: skip
    io.write(tmp_path / "a.tif", image, kind="imagej")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        meta = file.imagej_metadata
        assert (meta["spacing"], meta["finterval"], meta["unit"]) == (2, 5, "micron")
        assert (meta["frames"], meta["slices"], meta["channels"]) == (2, 4, 3)
        assert file.pages[0].tags["XResolution"].value == (4, 1)
        assert np.array_equal(file.asarray(), values)
    for exact in (True, False):
        found = io.read(tmp_path / "a.tif", exact=exact)
        assert_geometry_equal(found, image, tolerance=1e-6)
        assert found.dims == image.dims


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_oblique_tiff_is_refused_or_kept(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="needs tifffile")
    with pytest.raises(GeometryLossError, match=r"oblique direction.*oblique='keep'"):
        io.write(tmp_path / "a.tif", volume(), kind=kind)
    io.write(tmp_path / "a.tif", volume(), kind=kind, oblique="keep")
    found = io.read(tmp_path / "a.tif")
    assert found.geometry == volume().geometry
    assert (found.frame, found.unit) == ("RAS", ("um",) * 3)
    assert io.read(tmp_path / "a.tif", exact=False).spacing == pytest.approx([2.5, 0.7, 0.3])


def test_tiff_of_others(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    values = np.zeros((6, 8), "u1")
    tifffile.imwrite(tmp_path / "a.tif", values, resolution=(254, 127), resolutionunit="INCH")
    image = io.read(tmp_path / "a.tif")
    assert image.spacing == pytest.approx([0.2, 0.1])
    assert image.unit == ("mm", "mm")
    tifffile.imwrite(tmp_path / "b.tif", values, resolution=(2, 1), resolutionunit="NONE")
    image = io.read(tmp_path / "b.tif")
    assert (image.spacing.tolist(), image.unit, image.frame) == ([1, 1], (None, None), None)
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((6, 8, 3), "u1"), photometric="rgb")
    assert io.read(tmp_path / "c.tif").dims == ("y", "x", "c")
    # µm and s are OME's defaults; a size that is missing is not guessed.
    tifffile.imwrite(
        tmp_path / "d.ome.tif", np.zeros((3, 6, 8), "u1"),
        metadata={"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
    )  # fmt: skip
    image = io.read(tmp_path / "d.ome.tif")
    assert image.spacing.tolist() == [1, 0.5, 0.5]
    assert image.unit == (None, "um", "um")


def test_tiff_is_read_lazily_tile_by_tile(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    pytest.importorskip("zarr", reason="needs zarr")
    values = np.arange(3 * 100 * 130, dtype="u2").reshape(3, 100, 130)
    image = sd.SpatialArray(values, spacing=(3, 1, 1), unit="um")
    io.write(tmp_path / "a.tif", image, tile=32, compress=True)
    lazy = io.read(tmp_path / "a.tif")
    assert not isinstance(lazy.data, np.ndarray)
    part = lazy[1, ::-1, 10:20]
    assert not isinstance(part.data, np.ndarray)
    assert np.array_equal(np.asarray(part), values[1, ::-1, 10:20])
    assert_geometry_equal(part, image[1, ::-1, 10:20], tolerance=1e-9)
    # Levels of a pyramid cover the same ground.
    with tifffile.TiffWriter(tmp_path / "p.tif", ome=True) as writer:
        writer.write(values[0], subifds=1, tile=(32, 32),
                     metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})  # fmt: skip
        writer.write(values[0, ::2, ::2], subfiletype=1, tile=(32, 32))
    fine, coarse = (io.read(tmp_path / "p.tif", level=n) for n in (0, 1))
    assert io.info(tmp_path / "p.tif").levels == 2
    assert (fine.spacing.tolist(), coarse.spacing.tolist()) == ([0.5, 0.5], [1, 1])
    assert np.allclose(fine.bounds, coarse.bounds)


def test_changed_tiff_is_not_given_the_old_geometry(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    io.write(tmp_path / "a.tif", volume(False))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        text = file.pages[0].description
    changed = text.replace('PhysicalSizeX="0.3"', 'PhysicalSizeX="0.9"')
    tifffile.tiffcomment(tmp_path / "a.tif", changed.encode())
    with pytest.warns(UserWarning, match="no longer fits"):
        image = io.read(tmp_path / "a.tif")
    assert image.spacing.tolist() == [2.5, 0.7, 0.9]


# --- MINC ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small.mnc", "minc2-4d-d.mnc"])
def test_minc_is_nibabels_and_not_mirrored(name: str, data_file: Callable[[str], Path]) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    path = data_file(f"minc/{name}")
    image = io.read(path)
    theirs = nibabel.load(path)
    assert np.allclose(np.asarray(image), theirs.get_fdata())
    space = [i for i, n in enumerate(image.dims) if n in ("x", "y", "z")]
    rng = np.random.default_rng(1)
    index = rng.integers(0, image.shape, (50, image.ndim))
    ours = image.index_to_physical(index)[:, :3]
    assert np.allclose(ours, nibabel.affines.apply_affine(theirs.affine, index[:, space]))
    # By the standard's formula, from the raw attributes: RAS, where ITK takes LPS.
    with h5py.File(path) as file:
        expected = np.zeros((50, 3))
        for axis, name_ in zip(space, np.array(image.dims)[space], strict=True):
            attrs = file[f"minc-2.0/dimensions/{name_}space"].attrs
            along = np.ravel(attrs["start"]) + np.ravel(attrs["step"]) * index[:, axis]
            expected += np.outer(along, np.ravel(attrs["direction_cosines"]))
    assert np.allclose(ours, expected)
    assert image.frame == "RAS"
    if image.ndim == 4:
        assert image.dims[0] == "t"
        assert image.unit[3] == "s"


def test_minc_1_of_the_wheel() -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    for name in ("tiny.mnc", "minc1_1_scale.mnc", "minc1_4d.mnc"):
        if not (folder / name).exists():
            pytest.skip(f"this nibabel ships no {name}")
        image = io.read(folder / name)
        assert io.sniff(folder / name) == "minc"
        theirs = nibabel.load(folder / name)
        assert np.allclose(np.asarray(image), theirs.get_fdata())
        space = [i for i, n in enumerate(image.dims) if n in ("x", "y", "z")]
        index = np.random.default_rng(1).integers(0, image.shape, (20, image.ndim))
        ours = image.index_to_physical(index)[:, :3]
        assert np.allclose(ours, nibabel.affines.apply_affine(theirs.affine, index[:, space]))
    with pytest.raises(FormatError, match="read only"):
        io.write("a.mnc", volume())


# --- HDF5 and .npy ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.h5", "a.npy"])
def test_what_no_other_format_holds(name: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py")
    lost = sd.SpatialArray(np.zeros((3, 4)), spacing=(2, 1)).reshape(2, 6)
    windows = np.lib.stride_tricks.sliding_window_view(volume()[:, 0], (2,), axis=(1,))
    named = sd.SpatialArray(
        np.zeros((2, 3)), dims=("energy", "x"), sampled=("energy",), spacing=(5, 1),
        world=sd.World(("energy", "x"), {"energy": "keV"}), attrs={"a": [1, {"b": None}]},
    )  # fmt: skip
    for image in (lost, windows, named, volume()[2], volume()[None, ::-1]):
        io.write(tmp_path / name, image, overwrite=True)
        found = io.read(tmp_path / name)
        assert found.geometry == image.geometry
        assert np.array_equal(np.asarray(found), np.asarray(image))
        assert found.attrs == image.attrs
        assert found.lost == image.lost


def test_hdf5_attributes_are_as_documented(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    io.write(tmp_path / "a.h5", volume(), dataset="scan/ct")
    with h5py.File(tmp_path / "a.h5") as file:
        attrs = file["scan/ct"].attrs
        point = attrs["origin"] + attrs["direction"] @ (attrs["spacing"] * [1, 2, 3])
        assert list(attrs["world_axes"]) == [b"z", b"y", b"x"]
        assert attrs["frame"] == b"RAS"
    assert np.allclose(point, volume().index_to_physical((1, 2, 3)))
    with h5py.File(tmp_path / "b.h5", "w") as file:  # as any other software writes it
        other = file.create_dataset("x", data=np.zeros((3, 4), "f4"))
        other.attrs["dims"] = ["y", "x"]
        other.attrs["sampled"] = [0, 1]
        other.attrs["spacing"] = [2.0, 0.5]
        other.attrs["origin"] = [7.0, 8.0]
        other.attrs["direction"] = np.eye(2)
        other.attrs["world_axes"] = ["y", "x"]
    image = io.read(tmp_path / "b.h5")
    assert (image.spacing.tolist(), image.origin.tolist()) == ([2, 0.5], [7, 8])
    assert image.frame is None


def test_hdf5_of_several_datasets_and_of_chunks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    io.write(tmp_path / "a.h5", volume(), chunks=(1, 16, 16), compress=True)
    lazy = io.read(tmp_path / "a.h5", lazy=True)
    assert lazy.data.chunksize == (1, 16, 16)
    assert np.array_equal(np.asarray(lazy[2:, ::2]), np.asarray(volume()[2:, ::2]))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.copy("image", "again")
    with pytest.raises(FormatError, match="several images: again, image"):
        io.read(tmp_path / "a.h5")
    assert io.read(tmp_path / "a.h5", dataset="again").shape == (4, 30, 40)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(FormatError, match="no dataset with the attributes"):
        io.read(tmp_path / "c.h5")


def test_npy_alone_has_no_geometry_and_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    with pytest.raises(FormatError, match=r"a\.npy\.json, is not there"):
        io.read(tmp_path / "a.npy")
    io.write(tmp_path / "b.npy", volume())
    assert np.array_equal(np.load(tmp_path / "b.npy"), np.asarray(volume()))
    mapped = io.read(tmp_path / "b.npy").data
    assert isinstance(mapped, np.ndarray)
    assert isinstance(mapped.base, np.memmap)
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="numbers"):
        io.read(tmp_path / "b.npy")
    io.write(tmp_path / "b.npy", volume(), overwrite=True)
    beside = tmp_path / "b.npy.json"
    record = json.loads(beside.read_text())
    for change in ({"spacing": [0, 1, 1]}, {"shape": [1, 2, 3]}, {"direction": [[1]]},
                   {"version": 9}, {"world": None}):  # fmt: skip
        beside.write_text(json.dumps(record | change))
        with pytest.raises(FormatError):
            io.read(tmp_path / "b.npy")


# --- VTI ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("components", [0, 3])
def test_vtk_reads_our_vti(compress: bool, components: int, tmp_path: Path) -> None:
    pv = pytest.importorskip("pyvista", reason="needs pyvista")
    image = volume(dtype="f4", unit="mm")
    if components:
        image = np.stack([image, image + 1, image + 2], axis=-1)
        image = image.replace(dims=("z", "y", "x", "c"))
    io.write(tmp_path / "a.vti", image, compress=compress)
    grid = pv.read(tmp_path / "a.vti")
    assert np.array_equal(np.ravel(grid.point_data["values"]), np.asarray(image).ravel())
    g = image.geometry.to_world(("x", "y", "z"))
    for index in ((0, 0, 0), (1, 5, 7), (3, 29, 39)):
        point = grid.GetPoint(grid.ComputePointId(list(index[::-1])))
        where = g.index_to_physical((*index, *([0] if components else [])))
        assert np.allclose(where, point, atol=1e-9)
    found = sd.asarray(grid)
    assert found.frame == "RAS"
    assert_geometry_equal(io.read(tmp_path / "a.vti"), image, tolerance=1e-9)


@pytest.mark.parametrize("mode", ["Ascii", "Binary", "Appended", "raw", "zlib", "cells"])
def test_vti_that_vtk_writes(mode: str, tmp_path: Path) -> None:
    pytest.importorskip("pyvista", reason="needs pyvista")
    vtk = pytest.importorskip("vtkmodules.vtkIOXML", reason="needs vtk")
    grid = sd.to_pyvista(volume(dtype="f4"))
    if mode == "cells":
        grid.point_data.clear()
        grid.cell_data["d"] = np.arange(grid.n_cells, dtype="i4")
        grid.cell_data.active_scalars_name = "d"
    writer = vtk.vtkXMLImageDataWriter()
    writer.SetFileName(str(tmp_path / "a.vti"))
    writer.SetInputData(grid)
    if mode != "zlib":
        writer.SetCompressorTypeToNone()
    if mode in ("Ascii", "Binary"):
        getattr(writer, f"SetDataModeTo{mode}")()
    writer.SetEncodeAppendedData(mode == "Appended")
    writer.Write()
    image = io.read(tmp_path / "a.vti")
    if mode == "cells":
        centers = grid.cell_centers().points
        index = np.array(list(np.ndindex(image.shape)))
        assert np.allclose(image.index_to_physical(index), centers, atol=1e-4)
        assert np.array_equal(np.asarray(image).ravel(), np.arange(grid.n_cells))
        return
    assert_geometry_equal(image, volume(), tolerance=1e-6)
    assert np.array_equal(np.asarray(image), np.asarray(volume()))
    assert (image.frame, image.unit[0]) == ("RAS", "um")


def _vti(data: bytes, more: str = "") -> str:
    return (
        '<VTKFile type="ImageData" byte_order="LittleEndian" header_type="UInt32"'
        f'{more}><ImageData WholeExtent="0 1 0 2 0 3" Spacing="1 2 3"><Piece Extent="0 1 0 2 0 3">'
        '<PointData Scalars="v"><DataArray type="UInt8" Name="v" format="binary">'
        f"{base64.b64encode(data).decode()}</DataArray></PointData></Piece></ImageData></VTKFile>"
    )


@pytest.mark.parametrize(
    "text",
    [
        _vti(b"\x18\0\0\0" + bytes(10)),
        _vti(b"\xff\xff\xff\xff" + bytes(24)),
        _vti(b"", ' compressor="vtkLZ4DataCompressor"'),
        _vti(
            np.array([1, 24, 24, 9], "<u4").tobytes() + zlib.compress(bytes(24)),
            ' compressor="vtkZLibDataCompressor"',
        ),
        _vti(b"\x18\0\0\0" + bytes(24)).replace("0 1 0 2 0 3", "0 99999 0 99999 0 99999"),
        _vti(b"\x18\0\0\0" + bytes(24)).replace('Spacing="1 2 3"', 'Spacing="1 0 3"'),
        _vti(b"\x18\0\0\0" + bytes(24)).replace("<VTKFile", "<!DOCTYPE a><VTKFile"),
        _vti(b"\x18\0\0\0" + bytes(24)).replace("UInt8", "Bit"),
        _vti(b"\x18\0\0\0" + bytes(24))[:-30],
    ],
)
def test_broken_vti_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.vti").write_text(text)
    with pytest.raises((FormatError, UnsafeInputError)):
        io.read(tmp_path / "a.vti", format="vti", lazy=False)


def test_vti_without_direction_or_frame(tmp_path: Path) -> None:
    (tmp_path / "a.vti").write_text(_vti(b"\x18\0\0\0" + bytes(range(24))))
    image = io.read(tmp_path / "a.vti")
    assert image.shape == (4, 3, 2)
    assert image.spacing.tolist() == [3, 2, 1]
    assert image.frame is None
    assert np.array_equal(np.asarray(image).ravel(), np.arange(24))


# --- pictures -----------------------------------------------------------------------------


def test_pictures_keep_their_resolution(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3", reason="needs imageio")
    values = np.arange(60, dtype="u1").reshape(6, 10)
    imageio.imwrite(tmp_path / "a.png", values, dpi=(254, 127))
    image = io.read(tmp_path / "a.png")
    assert image.spacing == pytest.approx([0.2, 0.1], rel=1e-4)
    assert image.unit == ("mm", "mm")
    assert np.array_equal(np.asarray(image), values)
    imageio.imwrite(tmp_path / "b.png", np.stack([values] * 3, -1))
    image = io.read(tmp_path / "b.png")
    assert (image.dims, image.spacing.tolist(), image.unit) == (
        ("y", "x", "c"), [1, 1], (None, None),
    )  # fmt: skip
    imageio.imwrite(tmp_path / "c.jpg", values, dpi=(100, 100))
    assert io.read(tmp_path / "c.jpg").spacing == pytest.approx([0.254, 0.254], rel=1e-2)
    imageio.imwrite(tmp_path / "d.gif", np.stack([values, values + 60]))
    assert io.read(tmp_path / "d.gif").shape[:3] == (2, 6, 10)
    imageio.imwrite(tmp_path / "e.bmp", values)
    assert io.read(tmp_path / "e.bmp").shape[:2] == (6, 10)


def test_png_is_written_or_refused(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v3", reason="needs imageio")
    values = np.arange(60, dtype="u2").reshape(6, 10)
    image = sd.SpatialArray(values, spacing=(0.5, 0.25), unit="mm")
    io.write(tmp_path / "a.png", image)
    assert np.array_equal(imageio.imread(tmp_path / "a.png"), values)
    found = io.read(tmp_path / "a.png")
    assert_geometry_equal(found, image, tolerance=1e-3)
    for change in ({"origin": (1, 0)}, {"frame": "LPS"}, {"direction": [[0, 1], [1, 0]]}):
        with pytest.raises(GeometryLossError, match="oblique='drop'"):
            io.write(tmp_path / "c.png", image.replace(**change))
        io.write(tmp_path / "b.png", image.replace(**change), oblique="drop", overwrite=True)
    with pytest.raises(GeometryLossError, match="digits"):
        io.write(tmp_path / "c.png", image.replace(spacing=(0.37777, 150.0)))
    with pytest.raises(FormatError, match="astype"):
        io.write(tmp_path / "c.png", image.astype(float))
    with pytest.raises(FormatError, match="change values"):
        io.write(tmp_path / "c.jpg", image, format="picture")


# --- all ----------------------------------------------------------------------------------


def test_content_tells_the_format(tmp_path: Path) -> None:
    """Under another name each file is recognised all the same."""
    for package in ("tifffile", "h5py", "imageio"):
        pytest.importorskip(package, reason=f"needs {package}")
    flat = sd.SpatialArray(np.zeros((6, 8), "u1"), unit="mm")
    for name, kind in (("a.tif", "tiff"), ("a.h5", "hdf5"), ("a.vti", "vti"), ("a.png", "picture")):
        io.write(tmp_path / name, flat)
        (tmp_path / name).rename(tmp_path / "x")
        assert io.sniff(tmp_path / "x") == kind
        found = io.info(tmp_path / "x")
        assert found.format == kind
        assert io.read(tmp_path / "x").geometry == found.geometry
        (tmp_path / "x").unlink()


@pytest.mark.parametrize("name", ["a.tif", "a.h5", "a.npy", "a.vti", "a.png"])
def test_truncated_files_are_refused(name: str, tmp_path: Path) -> None:
    for package in ("tifffile", "h5py", "imageio"):
        pytest.importorskip(package, reason=f"needs {package}")
    values = np.random.default_rng(0).integers(0, 255, (60, 80)).astype("u1")
    io.write(tmp_path / name, sd.SpatialArray(values, unit="mm"))
    whole = (tmp_path / name).read_bytes()
    for part in (0.1, 0.5, 0.9):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * part)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises((FormatError, UnsafeInputError)):
                io.read(tmp_path / name, lazy=False)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.filterwarnings("error")
def test_colors_are_named(suffix: str, count: int, tmp_path: Path) -> None:
    """Those of pictures, as NIfTI's and NRRD's are; a picture holds the names without words."""
    imageio = pytest.importorskip("imageio.v3", reason="needs imageio")
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    values = np.random.default_rng(0).integers(0, 255, (6, 5, count)).astype("u1")
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        imageio.imwrite(path, values)
    else:
        tifffile.imwrite(path, values, photometric="rgb")
    image = sd.read(path)
    assert list(image.coords["channel"]) == ["red", "green", "blue", "alpha"][:count]
    assert np.array_equal(image.sel(channel="green"), values[..., 1])
    sd.write(tmp_path / f"b{suffix}", image)
    assert list(sd.read(tmp_path / f"b{suffix}").coords["channel"]) == list(image.coords["channel"])
