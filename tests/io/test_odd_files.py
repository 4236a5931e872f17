"""Files that are right and seldom seen, each made and read by its format's own library.

What they hold is odd on purpose: no equal sizes, left-handed axes, big-endian numbers, headers with
less or more than usual. `benchmarks.strangers` compares shape, voxels and points.
"""

from __future__ import annotations

import gzip
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: pynrrd's writer asks for the time in a way that Python is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")

FILES: dict[str, Callable[[Path], Path]] = {}
SHAPE = (3, 4, 5)
TURN = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]


def odd(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Put a maker into the table, by its name."""
    FILES[make.__name__] = make
    return make


def values(kind: str = "<i2", shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


# --- NIfTI --------------------------------------------------------------------------------


def _nifti(path: Path, kind: str = "<i2", shape: tuple[int, ...] = SHAPE, **header: Any) -> Any:
    import nibabel

    image = nibabel.Nifti1Image(values(kind, shape), None)
    image.header.set_zooms([2.0, 3.0, 4.0, 1.5][: len(shape)])
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    for name, value in header.items():
        image.header[name] = value
    return image


def left_handed() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = TURN * [2, 3, 4]
    if np.linalg.det(affine) > 0:
        affine[:3, 0] *= -1
    affine[:3, 3] = 7, -8, 9.5
    return affine


@odd
def nifti_with_a_left_handed_qform_alone(folder: Path) -> Path:
    image = _nifti(folder)
    image.set_qform(left_handed(), 1)
    image.set_sform(None, 0)
    image.to_filename(folder / "a.nii")
    return folder / "a.nii"


@odd
def nifti_with_a_sheared_left_handed_sform_alone(folder: Path) -> Path:
    image = _nifti(folder)
    image.set_sform(left_handed() @ [[1, 0.2, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0], [0, 0, 0, 1]], 3)
    image.set_qform(None, 0)
    image.to_filename(folder / "a.nii.gz")
    return folder / "a.nii.gz"


@odd
def nifti_big_endian_scaled(folder: Path) -> Path:
    import nibabel

    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(values(">i2"), left_handed(), header)
    image.header.set_slope_inter(0.25, -3)
    image.to_filename(folder / "a.nii")
    return folder / "a.nii"


@odd
def nifti_without_any_form(folder: Path) -> Path:
    path = folder / "a.nii"
    nifti_with_a_left_handed_qform_alone(folder)
    raw = bytearray(path.read_bytes())
    raw[252:256] = struct.pack("<2h", 0, 0)
    path.write_bytes(bytes(raw))
    return path


@odd
def nifti_of_two_axes_in_space(folder: Path) -> Path:
    image = _nifti(folder, shape=(4, 5))
    image.set_sform(left_handed(), 1)
    image.to_filename(folder / "a.nii")
    return folder / "a.nii"


@odd
def nifti_with_one_time_and_extensions(folder: Path) -> Path:
    import nibabel

    image = _nifti(folder, shape=(3, 4, 5, 1))
    image.set_sform(left_handed(), 1)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 100))
    image.to_filename(folder / "a.nii")
    return folder / "a.nii"


@odd
def nifti_in_two_parts_of_gzip(folder: Path) -> Path:
    path = nifti_big_endian_scaled(folder)
    raw = path.read_bytes()
    packed = gzip.compress(raw[:100]) + gzip.compress(raw[100:])
    (folder / "a.nii.gz").write_bytes(packed)
    return folder / "a.nii.gz"


@odd
def mgh_with_a_turn(folder: Path) -> Path:
    import nibabel

    nibabel.MGHImage(values("f4"), left_handed()).to_filename(folder / "a.mgz")
    return folder / "a.mgz"


# --- NRRD ---------------------------------------------------------------------------------


def _nrrd(folder: Path, kind: str = "<i2", **header: Any) -> Path:
    nrrd = pytest.importorskip("nrrd", reason="needs pynrrd")
    data = values(kind, header.pop("shape", SHAPE))
    nrrd.write(str(folder / "a.nrrd"), data, {"encoding": "raw", **header})
    return folder / "a.nrrd"


@odd
def nrrd_left_handed_in_ras(folder: Path) -> Path:
    affine = left_handed()
    return _nrrd(folder, space="right-anterior-superior", **{
        "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]})  # fmt: skip


@odd
def nrrd_big_endian_in_las(folder: Path) -> Path:
    affine = left_handed()
    return _nrrd(folder, ">f4", space="left-anterior-superior", endian="big", **{
        "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]})  # fmt: skip


@odd
def nrrd_without_an_origin(folder: Path) -> Path:
    return _nrrd(folder, space="left-posterior-superior",
                 **{"space directions": np.diag([1.0, -2, 3])})  # fmt: skip


@odd
def nrrd_of_spacings(folder: Path) -> Path:
    return _nrrd(folder, spacings=[0.5, 2, 3])


@odd
def nrrd_of_vectors_in_the_middle(folder: Path) -> Path:
    directions = np.array([[1, 0, 0], [np.nan] * 3, [0, 2, 0], [0, 0, 3.0]])
    return _nrrd(folder, shape=(3, 2, 4, 5), space="LPS", kinds=["domain", "list", "domain",
                 "domain"], **{"space directions": directions})  # fmt: skip


# --- MetaImage ----------------------------------------------------------------------------


def _meta(folder: Path, data: np.ndarray, **fields: str) -> Path:
    shape = fields.pop("DimSize", " ".join(map(str, data.shape[::-1])))
    types = {"i2": "MET_SHORT", "f4": "MET_FLOAT", "u1": "MET_UCHAR"}
    lines = {"ObjectType": "Image", "NDims": str(len(shape.split())), **fields, "DimSize": shape,
             "ElementType": types[data.dtype.str[1:]], "ElementDataFile": "LOCAL"}  # fmt: skip
    head = "".join(f"{k} = {v}\n" for k, v in lines.items())
    (folder / "a.mha").write_bytes(head.encode() + data.tobytes())
    return folder / "a.mha"


FLIP = "0 1 0 -1 0 0 0 0 1"


@odd
def metaimage_of_channels_turned_and_placed(folder: Path) -> Path:
    data = values("<i2", (3, 4, 5, 2))
    return _meta(folder, data, DimSize="5 4 3", ElementNumberOfChannels="2", TransformMatrix=FLIP,
                 Offset="7 -8 9.5", ElementSpacing="0.5 2 3", BinaryData="True")  # fmt: skip


@odd
def metaimage_big_endian_with_a_position(folder: Path) -> Path:
    return _meta(folder, values(">f4"), BinaryData="True", BinaryDataByteOrderMSB="True",
                 Position="1 2 3", ElementSpacing="0.5 2 3", CenterOfRotation="9 9 9")  # fmt: skip


@odd
def metaimage_of_element_sizes(folder: Path) -> Path:
    return _meta(folder, values("<i2"), BinaryData="True", ElementSize="0.5 2 3", Origin="1 2 3")


@odd
def metaimage_of_two_axes(folder: Path) -> Path:
    return _meta(folder, values("u1", (4, 5)), BinaryData="True", Offset="1 2",
                 TransformMatrix="0 1 -1 0", ElementSpacing="0.5 2")  # fmt: skip


# --- OME-Zarr -----------------------------------------------------------------------------


def _ome_zarr(folder: Path, array: np.ndarray, own: Any, common: Any, **more: Any) -> Path:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    root = zarr.open_group(folder / "a.zarr", mode="w", zarr_format=2)
    made = root.create_array("0", shape=array.shape, dtype=array.dtype, chunks=(2,) * array.ndim,
                             **more)  # fmt: skip
    made[...] = array
    names = "tczyx"[-array.ndim :]
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": n, "type": kinds.get(n, "space")} for n in names]
    multiscale = {"version": "0.4", "axes": axes,
                  "datasets": [{"path": "0", "coordinateTransformations": own}]}  # fmt: skip
    if common:
        multiscale["coordinateTransformations"] = common
    root.attrs["multiscales"] = [multiscale]
    return folder / "a.zarr"


def _scale(*numbers: float) -> dict[str, Any]:
    return {"type": "scale", "scale": list(numbers)}


def _translation(*numbers: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(numbers)}


@odd
def omezarr_moved_by_its_level_and_by_all(folder: Path) -> Path:
    return _ome_zarr(
        folder, values("u2"), [_scale(3, 2, 0.5), _translation(1, 2, 3)],
        [_scale(10, 1, 1), _translation(0, 5, -7)],
    )  # fmt: skip


@odd
def omezarr_big_endian_in_fortran_order(folder: Path) -> Path:
    return _ome_zarr(folder, values(">i4"), [_scale(3, 2, 0.5)], None, order="F")


@odd
def omezarr_of_five_axes(folder: Path) -> Path:
    return _ome_zarr(folder, values("u1", (2, 3, 3, 4, 5)), [_scale(9, 1, 3, 2, 0.5)],
                     [_scale(0.1, 1, 1, 1, 1)])  # fmt: skip


# --- TIFF ---------------------------------------------------------------------------------


def _tiff(folder: Path, name: str, array: np.ndarray, **options: Any) -> Path:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    tifffile.imwrite(folder / name, array, **options)
    return folder / name


@odd
def ome_tiff_without_the_size_along_z(folder: Path) -> Path:
    meta = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 2.0}
    return _tiff(folder, "a.ome.tif", values("u2"), metadata=meta)


@odd
def ome_tiff_big_endian_of_channels_before_times(folder: Path) -> Path:
    meta = {"axes": "CTZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 2.0, "PhysicalSizeZ": 3.0}
    return _tiff(folder, "a.ome.tif", values(">u2", (2, 3, 3, 4, 5)), metadata=meta, byteorder=">")


@odd
def imagej_hyperstack_big_endian(folder: Path) -> Path:
    meta = {"axes": "TZCYX", "unit": "um", "spacing": 3.0, "finterval": 0.5}
    return _tiff(folder, "a.tif", values(">u2", (2, 3, 2, 4, 5)), imagej=True, byteorder=">",
                 metadata=meta, resolution=(2, 0.5))  # fmt: skip


@odd
def tiff_of_colors_in_planes_of_their_own(folder: Path) -> Path:
    return _tiff(folder, "a.tif", values("u1", (3, 40, 50)), photometric="rgb",
                 planarconfig="separate", compression="zlib", predictor=True)  # fmt: skip


@odd
def tiff_of_three_resolutions_in_centimetres(folder: Path) -> Path:
    return _tiff(folder, "a.tif", values("f4", (40, 50)), tile=(16, 16), resolution=(100, 50),
                 resolutionunit="CENTIMETER", byteorder=">")  # fmt: skip


def _geotiff(folder: Path, transform: Any, **more: Any) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio")
    profile = {"driver": "GTiff", "count": 2, "height": 20, "width": 30, "dtype": "int16",
               "crs": "EPSG:32633", "transform": rasterio.Affine(*transform), **more}  # fmt: skip
    with rasterio.open(folder / "a.tif", "w", **profile) as file:
        file.write(values("i2", (2, 20, 30)))
    return folder / "a.tif"


@odd
def geotiff_turned(folder: Path) -> Path:
    return _geotiff(folder, (8, 6, 5e5, 6, -8, 4.6e6))


@odd
def geotiff_big_endian_south_up(folder: Path) -> Path:
    return _geotiff(folder, (10, 0, 5e5, 0, 10, 4.6e6), ENDIANNESS="BIG", interleave="band")


# --- DICOM --------------------------------------------------------------------------------


def _dicom(folder: Path, **elements: Any) -> Any:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    sd.write(folder / "d", sd.SpatialArray(values("u2"), spacing=(3, 2, 0.5), frame="LPS",
                                           unit="mm"), format="dicom")  # fmt: skip
    d = pydicom.dcmread(sorted((folder / "d").iterdir())[1])
    for keyword, value in elements.items():
        if value is None:
            d.pop(keyword, None)
        else:
            setattr(d, keyword, value)
    return d


@odd
def dicom_big_endian(folder: Path) -> Path:
    d = _dicom(folder)
    import pydicom

    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    d.PixelData = np.frombuffer(d.PixelData, "<u2").astype(">u2").tobytes()
    pydicom.dcmwrite(folder / "a.dcm", d, implicit_vr=False, little_endian=False,
                     force_encoding=True)  # fmt: skip
    return folder / "a.dcm"


@odd
def dicom_of_a_detector_alone(folder: Path) -> Path:
    d = _dicom(folder, PixelSpacing=None, ImagePositionPatient=None, ImageOrientationPatient=None,
               ImagerPixelSpacing=[2, 0.5])  # fmt: skip
    d.save_as(folder / "a.dcm")
    return folder / "a.dcm"


@odd
def dicom_turned_with_signed_12_bits(folder: Path) -> Path:
    d = _dicom(folder, ImageOrientationPatient=[*TURN[0], *TURN[1]], PixelRepresentation=1,
               BitsStored=12, HighBit=11, RescaleSlope="0.5", RescaleIntercept="-100")  # fmt: skip
    d.PixelData = (values("<i2", (4, 5)) - 10).astype("<i2").tobytes()
    d.save_as(folder / "a.dcm")
    return folder / "a.dcm"


# --- VTK ----------------------------------------------------------------------------------


def _vti(folder: Path, *, cells: bool = False, big: bool = False, mode: str = "Appended",
         components: int = 1, packed: bool = True) -> Path:  # fmt: skip
    pytest.importorskip("vtkmodules", reason="needs VTK")
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkIOXML import vtkXMLImageDataWriter

    image, extent = vtkImageData(), (2, 6, -1, 2, 5, 7)
    image.SetExtent(*extent)
    image.SetSpacing(0.5, 2, 3)
    image.SetOrigin(1, 2, 3)
    image.SetDirectionMatrix(0, -1, 0, 1, 0, 0, 0, 0, 1)
    count = np.prod([max(b - a + (not cells), 1) for a, b in zip(extent[::2], extent[1::2],
                                                                 strict=True)])  # fmt: skip
    array = numpy_to_vtk(values("f4", (count, components)), deep=True)
    array.SetName("voxels")
    (image.GetCellData() if cells else image.GetPointData()).SetScalars(array)
    writer = vtkXMLImageDataWriter()
    writer.SetFileName(str(folder / "a.vti"))
    writer.SetInputData(image)
    getattr(writer, f"SetDataModeTo{mode}")()
    writer.EncodeAppendedDataOff()
    if big:
        writer.SetByteOrderToBigEndian()
    if not packed:
        writer.SetCompressorTypeToNone()
    writer.Write()
    return folder / "a.vti"


@odd
def vti_from_an_odd_corner_of_its_extent(folder: Path) -> Path:
    return _vti(folder)


@odd
def vti_of_cells_big_endian(folder: Path) -> Path:
    return _vti(folder, cells=True, big=True, mode="Binary")


@odd
def vti_of_three_components_unpacked(folder: Path) -> Path:
    return _vti(folder, components=3, packed=False, big=True)


@odd
def vti_in_text(folder: Path) -> Path:
    return _vti(folder, mode="Ascii")


# --- pictures and others ------------------------------------------------------------------


@odd
def png_of_16_bits(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    image.fromarray(values("u2", (4, 5)) * 3000).save(folder / "a.png")
    return folder / "a.png"


#: Which library is asked about which file.
NEEDS = {"nifti": "nibabel", "mgh": "nibabel", "metaimage": "SimpleITK"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_read_as_its_own_library_reads_it(name: str, tmp_path: Path) -> None:
    strangers = pytest.importorskip("benchmarks.strangers", reason="needs the benchmarks")
    needed = NEEDS.get(name.partition("_")[0])
    if needed:
        pytest.importorskip(needed, reason=f"needs {needed}")
    seen = strangers.look(FILES[name](tmp_path), name)
    assert seen is not None, "of no format that is read"
    assert seen.outcome == "right", seen


def test_units_of_space_that_differ_are_kept_apart(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="needs pynrrd")
    header = {"space dimension": 3, "space directions": np.diag([1.0, 2, 3]), "encoding": "raw",
              "space origin": [1.0, 2, 3], "space units": ["um", "um", "mm"]}  # fmt: skip
    nrrd.write(str(tmp_path / "a.nrrd"), values(), header)
    image = sd.read(tmp_path / "a.nrrd")
    unit = dict(zip(image.world.axes, image.unit, strict=True))
    assert (unit["x"], unit["y"], unit["z"]) == ("um", "um", "mm")
    point = dict(zip(image.world.axes, image.index_to_physical((4, 3, 2)), strict=True))
    assert (point["x"], point["y"], point["z"]) == (1 + 2, 2 + 2 * 3, 3 + 3 * 4)


def test_a_frame_without_a_position_is_named(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    image = sd.SpatialArray(values("u2"), spacing=(3, 2, 0.5), frame="LPS", unit="mm")
    sd.write(tmp_path / "d", image, format="dicom")
    path = sorted((tmp_path / "d").iterdir())[1]
    d = pydicom.dcmread(path)
    del d.ImagePositionPatient
    d.save_as(path)
    with pytest.raises(sd.FormatError, match=rf"1 of 3 frames have no position.*{path.name}"):
        sd.read(tmp_path / "d")


def test_planes_at_uneven_heights_are_not_made_even(tmp_path: Path) -> None:
    """OME-XML says a place for each plane; the size along z is that of the voxels."""
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    heights = [0.0, 1.0, 5.0]
    meta = {"axes": "ZYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0, "PhysicalSizeZ": 1.0,
            "Plane": {"PositionZ": heights, "PositionZUnit": ["µm"] * 3}}  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", values("u2"), metadata=meta)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.ome_metadata.count("PositionZ=") == 3
    with pytest.warns(UserWarning, match=r"PositionZ .*coords\['position_z'\]"):
        image = sd.read(tmp_path / "a.ome.tif")
    assert image.coords["position_z"].dims == ("z",)
    assert list(image.coords["position_z"]) == heights
    sd.write(tmp_path / "b.ome.tif", image[1:])
    assert list(sd.read(tmp_path / "b.ome.tif").coords["position_z"]) == heights[1:]


def test_json_of_scales_that_are_whole_numbers(tmp_path: Path) -> None:
    path = omezarr_moved_by_its_level_and_by_all(tmp_path)
    text = (path / ".zattrs").read_text()
    (path / ".zattrs").write_text(json.dumps(json.loads(text)).replace("3.0", "3"))
    image = sd.read(path)
    assert image.spacing.tolist() == [30, 2, 0.5]
    assert image.origin.tolist() == [10, 7, -4]
