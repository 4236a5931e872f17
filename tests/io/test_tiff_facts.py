"""What TIFF's dialects say of axes, read and written; tifffile is the referee."""

from __future__ import annotations

import logging
import pickle
import struct
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, GeometryLossError, UnsafeInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

tifffile = pytest.importorskip("tifffile", reason="needs tifffile")

CHANNELS = {
    "channel": ("c", ["DAPI", "GFP", "Größe"]),
    "channel_color": ("c", ["0000FF", "00FF00", "FF8000"]),
}


def cells(**more: Any) -> sd.SpatialArray:
    return sd.SpatialArray(
        np.arange(2 * 3 * 4 * 16 * 20, dtype="u2").reshape(2, 3, 4, 16, 20),
        dims=("t", "c", "z", "y", "x"), spacing=(5.0, 2.0, 0.5, 0.25), origin=(0, 30, 20, 10),
        world=sd.World(("t", "z", "y", "x"), {"t": "s", "z": "um", "y": "um", "x": "um"}),
        coords=CHANNELS | more,
    )  # fmt: skip


def ome(
    path: Path, planes: str = "", pixels: str = "", z: int = 1, t: int = 1, **more: Any
) -> Path:
    """Write an OME-TIFF with a text of ours."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        'OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
        f'Type="uint16" SizeX="16" SizeY="16" SizeZ="{z}" SizeC="1" SizeT="{t}" {pixels}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/>{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, np.zeros((z * t, 16, 16), "u2"), description=xml.encode(),
                     metadata=None, photometric="minisblack", **more)  # fmt: skip
    return path


# --- both ways ----------------------------------------------------------------------------


@pytest.mark.fact("names of channels", "OME-TIFF", "both ways", "tifffile")
@pytest.mark.fact("colors of channels", "OME-TIFF", "both ways", "tifffile")
@pytest.mark.fact("wavelengths", "OME-TIFF", "both ways", "tifffile")
@pytest.mark.parametrize("exact", [True, False])
def test_ome_keeps_channels_places_and_times(exact: bool, tmp_path: Path) -> None:
    image = cells(emission_wavelength=("c", [450.0, 510.0, 600.0], {"unit": "nm"}))
    sd.write(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        meta = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [c["Name"] for c in meta["Channel"]] == list(image.coords["channel"])
        assert [c["EmissionWavelength"] for c in meta["Channel"]] == [450, 510, 600]
        assert meta["Channel"][1]["Color"] == 0x00FF00FF
        planes = meta["Plane"]
        assert (planes[0]["PositionX"], planes[0]["PositionY"]) == (10, 20)
        assert [p["PositionZ"] for p in planes[:4]] == [30, 32, 34, 36]
    found = sd.read(tmp_path / "a.ome.tif", exact=exact)
    assert np.array_equal(np.asarray(found), np.asarray(image))
    assert found.geometry.isclose(image.geometry)
    for name in image.coords:
        assert list(found.coords[name]) == list(image.coords[name]), name
    # What moves keeps its names.
    sd.write(tmp_path / "b.ome.tif", found[:, ::-1, 1:])
    again = sd.read(tmp_path / "b.ome.tif", exact=exact)
    assert list(again.coords["channel"]) == list(image.coords["channel"])[::-1]
    assert again.geometry.isclose(image[:, ::-1, 1:].geometry)


@pytest.mark.fact("uneven times", "OME-TIFF", "both ways", "tifffile", says="`DeltaT`")
@pytest.mark.parametrize("exact", [True, False])
def test_uneven_times_come_back(exact: bool, tmp_path: Path) -> None:
    image = sd.SpatialArray(
        np.zeros((4, 16, 16), "u2"), dims=("t", "y", "x"), spacing={"y": 0.5, "x": 0.5},
        unit={"y": "um", "x": "um"}, coords={"t": ("t", [0.0, 1, 5, 60], {"unit": "s"})},
    )  # fmt: skip
    sd.write(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        planes = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Plane"]
        assert [p["DeltaT"] for p in planes] == [0, 1, 5, 60]
    with pytest.warns(UserWarning, match="not evenly spaced"):
        found = sd.read(tmp_path / "a.ome.tif", exact=exact)
    assert list(found.coords["t"]) == [0, 1, 5, 60]
    assert found.geometry.sampled_axes == (1, 2)


@pytest.mark.fact("names of channels", "ImageJ TIFF", "both ways", "tifffile", says="labels")
@pytest.mark.fact(
    "colors of channels", "ImageJ TIFF", "both ways", "tifffile", says="lookup tables"
)
@pytest.mark.fact("display windows", "ImageJ TIFF", "both ways", "tifffile", says="ranges")
@pytest.mark.parametrize("exact", [True, False])
def test_imagej_keeps_labels_ranges_colors_and_origin(exact: bool, tmp_path: Path) -> None:
    image = cells(display_window=("c", [[0.0, 100], [5, 50], [1, 2]])).transpose(0, 2, 1, 3, 4)
    sd.write(tmp_path / "a.tif", image, kind="imagej")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        meta = file.imagej_metadata
        assert (meta["xorigin"], meta["yorigin"], meta["zorigin"]) == (-40, -40, -15)
        assert meta["Labels"][:4] == ["DAPI", "GFP", "Größe", "DAPI"]
        assert meta["Ranges"] == (0, 100, 5, 50, 1, 2)
        assert meta["LUTs"][0][:, 255].tolist() == [0, 0, 255]
    found = sd.read(tmp_path / "a.tif", exact=exact)
    assert found.geometry.isclose(image.geometry)
    for name in ("channel", "channel_color"):
        assert list(found.coords[name]) == list(image.coords[name])
    assert np.array_equal(found.coords["display_window"], image.coords["display_window"])


# --- OME as others write it ---------------------------------------------------------------


@pytest.mark.parametrize(
    "planes, told, spacing, origin",
    [
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="{k}"/>', "", 1.0, 0.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="-{k}"/>', "", 1.0, 0.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="7" PositionZUnit="µm"/>', "", 1.0, 7.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="2" PositionZUnit="mm"/>', "", 1.0, 2000.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="3{k}"/>', "", 1.0, 30.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionZ="3" PositionZUnit="reference frame"/>',
         "PositionZ.*reference frame", 1.0, 0.0),
        ('<Plane TheZ="{k}" TheT="0" TheC="0" PositionX="{k}"/>', "not the same", 1.0, 0.0),
    ],
)  # fmt: skip
def test_positions(planes: str, told: str, spacing: float, origin: float, tmp_path: Path) -> None:
    text = "".join(planes.format(k=k) for k in range(4))
    sizes = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5" PhysicalSizeZ="1"'
    path = ome(tmp_path / "a.ome.tif", text, sizes, z=4)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        image = sd.read(path)
    said = " ".join(str(w.message) for w in found if w.category is UserWarning)
    assert bool(said) == bool(told)
    if told:
        assert all(word in said for word in told.split(".*"))
    assert image.spacing[0] == spacing
    assert image.origin[0] == pytest.approx(origin)
    assert image.direction[0, 0] == (-1 if "-{k}" in planes else 1)


@pytest.mark.parametrize(
    "times, even", [((0, 2, 4, 6), True), ((1, 3.02, 4.99, 7), True), ((0, 1, 5, 60), False)]
)
def test_times(times: tuple[float, ...], even: bool, tmp_path: Path) -> None:
    text = "".join(
        f'<Plane TheZ="0" TheT="{k}" TheC="0" DeltaT="{1000 * v}" DeltaTUnit="ms"/>'
        for k, v in enumerate(times)
    )
    path = ome(tmp_path / "a.ome.tif", text, t=4)
    if not even:
        with pytest.warns(UserWarning, match="not evenly spaced"):
            image = sd.read(path)
        assert np.allclose(image.coords["t"], 1000 * np.array(times))
        return
    image = sd.read(path)
    assert (image.spacing[0], image.unit[0]) == (pytest.approx(2000), "ms")
    assert image.origin[0] == pytest.approx(1000 * times[0])
    if times[0]:
        assert np.allclose(image.coords["delta_t"], 1000 * np.array(times))


def test_sizes_are_checked_before_pages_are_made(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", pixels=20 * " ")
    content = path.read_bytes()
    wrong = content.replace(b'SizeT="1"' + 21 * b" ", b'SizeT="999999999"' + 13 * b" ")
    assert wrong != content
    path.write_bytes(wrong)
    with pytest.raises(UnsafeInputError, match="999,999,999 planes"):
        sd.read(path)


def test_metadata_elsewhere_is_named(tmp_path: Path) -> None:
    xml = ('<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
           '<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/></OME>')  # fmt: skip
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((16, 16), "u2"), description=xml, metadata=None
    )
    with pytest.raises(FormatError, match=r"a\.companion\.ome.*plain=True"):
        sd.read(tmp_path / "a.ome.tif")
    (tmp_path / "a.companion.ome").write_text(xml.replace("urn:uuid:1", "urn:uuid:2"))
    with pytest.raises(FormatError, match=r"names a further file.*plain=True"):
        sd.read(tmp_path / "a.ome.tif")
    assert sd.read(tmp_path / "a.ome.tif", plain=True).shape == (16, 16)


def companion(folder: Path, uuid: str = "urn:uuid:0") -> np.ndarray:
    """Write two images in three files, all described by a companion; return their pixels."""
    values = np.arange(4 * 6 * 7, dtype="u2").reshape(4, 6, 7)
    names = ["a.ome.tif", "b.ome.tif", "c.ome.tif"]
    head = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    for name, pages in zip(names, (values[:2], values[2:3], values[3:]), strict=True):
        text = (
            f'{head} UUID="urn:uuid:{name}"><BinaryOnly MetadataFile="set.companion.ome" '
            'UUID="urn:uuid:0"/></OME>'
        )
        tifffile.imwrite(folder / name, pages, description=text, metadata=None,
                         photometric="minisblack")  # fmt: skip

    def image(number: int, sizes: str, data: list[tuple[str, int, int]]) -> str:
        parts = "".join(
            f'<TiffData IFD="{ifd}" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">'
            f"urn:uuid:{name}</UUID></TiffData>"
            for name, z, ifd in data
        )
        return (
            f'<Image ID="Image:{number}" Name="im{number}"><Pixels ID="Pixels:{number}" '
            f'DimensionOrder="XYZCT" Type="uint16" SizeX="7" SizeY="6" SizeC="1" SizeT="1" {sizes} '
            'PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeZ="2"><Channel ID="Channel:0" '
            f'Name="DAPI"/>{parts}</Pixels></Image>'
        )

    stack = [(names[0], 0, 0), (names[0], 1, 1), (names[1], 2, 0)]
    xml = f'{head} UUID="{uuid}">'
    xml += image(0, 'SizeZ="3"', stack) + image(1, 'SizeZ="1"', [(names[2], 0, 0)]) + "</OME>"
    (folder / "set.companion.ome").write_text(xml)
    return values


def test_files_of_a_companion(tmp_path: Path) -> None:
    values = companion(tmp_path)
    for name, lazy in (("a", None), ("b", None), ("a", True), ("a", False)):
        if lazy is not False:
            pytest.importorskip("zarr", reason="needs zarr")
        image = sd.read(tmp_path / f"{name}.ome.tif", lazy=lazy)
        assert np.array_equal(np.asarray(image), values[:3])
        assert (image.dims, image.spacing.tolist()) == (("z", "y", "x"), [2, 0.25, 0.5])
        assert image.unit == ("um", "um", "um")
        if lazy:
            again = pickle.loads(pickle.dumps(image[1:]))
            assert np.array_equal(np.asarray(again), values[1:3])
    with pytest.raises(FormatError, match=r"series 0 .* it has series=1"):
        sd.read(tmp_path / "c.ome.tif")
    other = sd.read(tmp_path / "c.ome.tif", series=1)
    assert np.array_equal(np.asarray(other).squeeze(), values[3])
    assert sd.read(tmp_path / "a.ome.tif", plain=True).shape == (2, 6, 7)


def test_a_companion_of_other_files(tmp_path: Path) -> None:
    companion(tmp_path, uuid="urn:uuid:9")
    with pytest.raises(FormatError, match="UUID is urn:uuid:9"):
        sd.read(tmp_path / "a.ome.tif")
    (tmp_path / "b.ome.tif").unlink()
    companion_text = (tmp_path / "set.companion.ome").read_text().replace("uuid:9", "uuid:0")
    (tmp_path / "set.companion.ome").write_text(companion_text)
    with pytest.raises(FormatError, match=r"b\.ome\.tif"):
        sd.read(tmp_path / "a.ome.tif")
    (tmp_path / "set.companion.ome").write_text(companion_text.replace("b.ome", "../b.ome"))
    with pytest.raises((FormatError, UnsafeInputError), match=r"b\.ome\.tif"):
        sd.read(tmp_path / "a.ome.tif")


# --- plain and microscopes ----------------------------------------------------------------


@pytest.mark.parametrize(
    "unit, number, step, name",
    [
        ("INCH", 254, 0.1, "mm"),
        ("CENTIMETER", 20, 0.5, "mm"),
        (4, 4, 0.25, "mm"),
        (5, 2, 0.5, "um"),
    ],
)
def test_resolution_units(unit: Any, number: float, step: float, name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), "u2"), resolution=(number, number),
                     resolutionunit=unit)  # fmt: skip
    image = sd.read(tmp_path / "a.tif")
    assert image.spacing.tolist() == pytest.approx([step, step])
    assert image.unit == (name, name)


def test_aperio(tmp_path: Path) -> None:
    text = "Aperio Image Library v11.2.1\r\n16x16 (16x16) J2K/KDU Q=30|AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(tmp_path / "a.svs", np.zeros((16, 16, 3), "u1"), description=text,
                     metadata=None, photometric="rgb", tile=(16, 16))  # fmt: skip
    image = sd.read(tmp_path / "a.svs")
    assert image.spacing.tolist() == [0.499, 0.499]
    assert image.unit == ("um", "um")


@pytest.mark.fact("names of channels", "GeoTIFF", "read", "rasterio", says="`description`")
@pytest.mark.fact("scales and offsets", "GeoTIFF", "read", "rasterio")
@pytest.mark.fact("no data", "GeoTIFF", "read", "rasterio")
@pytest.mark.fact("units", "GeoTIFF", "read", "rasterio", says="of the CRS")
def test_geotiff_lies_where_rasterio_says(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio")
    profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 2, "dtype": "int16",
               "crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6),
               "nodata": -9999}  # fmt: skip
    values = np.arange(1200, dtype="i2").reshape(2, 20, 30)
    values[0, 0, 0] = -9999
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(values)
        file.descriptions = ("red edge", "near infrared")
        file.scales, file.offsets = (0.5, 0.1), (0, -1)
    for lazy in (None, True):
        image = sd.read(tmp_path / "a.tif", lazy=lazy)
        assert np.array_equal(np.asarray(image), values)
        place = dict(zip(image.world.axes, image.index_to_physical((0, 0, 0)), strict=True))
        assert (place["x"], place["y"]) == (500005, 4599995)
        assert image.unit == ("m", "m")
        assert list(image.coords["description"]) == ["red edge", "near infrared"]
        assert list(image.coords["scale_factor"]) == [0.5, 0.1]
        assert image.attrs["nodata"] == -9999
    with rasterio.open(tmp_path / "a.tif") as file:
        masked = sd.from_rasterio(file, masked=True, scaled=True)
    assert np.isnan(np.asarray(masked)[0, 0, 0])
    assert np.allclose(np.asarray(masked)[1], values[1] * 0.1 - 1)
    assert "nodata" not in masked.attrs
    assert sd.read(tmp_path / "a.tif", plain=True).size == values.size


@pytest.mark.fact("units", "ImageJ TIFF", "both ways", "tifffile", says="`unit`")
@pytest.mark.fact("units", "OME-TIFF", "read", "tifffile")
def test_units_are_tifffiles(tmp_path: Path) -> None:
    import tifffile

    values = np.arange(60, dtype="u2").reshape(3, 4, 5)
    written = {
        "i.tif": {"imagej": True, "resolution": (4, 2),
                  "metadata": {"axes": "ZYX", "unit": "um", "spacing": 3.0}},
        "o.ome.tif": {"metadata": {
            "axes": "ZYX", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 0.003, "PhysicalSizeZUnit": "mm",
        }},
    }  # fmt: skip
    for name, options in written.items():
        tifffile.imwrite(tmp_path / name, values, **options)
        image = sd.read(tmp_path / name).to_unit("um")
        assert image.dims == ("z", "y", "x")
        assert np.allclose(image.spacing, (3, 0.5, 0.25))
        sd.write(tmp_path / f"again {name}", image, kind="imagej" if name == "i.tif" else "ome")
    with tifffile.TiffFile(tmp_path / "again i.tif") as file:
        assert file.imagej_metadata["unit"] == "micron"
        assert file.imagej_metadata["spacing"] == 3


# --- microscopes, by tags as they write them ---------------------------------------------------


def patched(path: Path, code: int, kind: int, count: int, new: int) -> None:
    """Change the count of a tag, which MetaMorph gives in units of its own."""
    content = path.read_bytes()
    old = struct.pack("<HHI", code, kind, count)
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, struct.pack("<HHI", code, kind, new)))


def write_lsm(path: Path, values: Any) -> None:
    """Zeiss: a structure in tag 34412, and a thumbnail behind each plane."""
    info = np.zeros((), tifffile.TIFF.CZ_LSMINFO)
    n, rows, columns = values.shape
    fields = {
        "MagicNumber": 67127628, "StructureSize": info.nbytes, "DimensionX": columns,
        "DimensionY": rows, "DimensionZ": n, "DimensionChannels": 1, "DimensionTime": 1,
        "VoxelSizeX": 0.5e-6, "VoxelSizeY": 0.25e-6, "VoxelSizeZ": 2e-6, "OriginX": 1e-5,
    }  # fmt: skip
    for name, value in fields.items():
        info[name] = value
    content = info.tobytes()
    with tifffile.TiffWriter(path, byteorder="<") as file:
        for k, plane in enumerate(values):
            tags = [(34412, 1, len(content), content, True)] if k == 0 else []
            file.write(plane, metadata=None, extratags=tags, contiguous=False)
            file.write(np.zeros((2, 2, 3), "u1"), metadata=None, contiguous=False,
                       photometric="rgb", subfiletype=1)  # fmt: skip


def write_stk(path: Path, values: Any) -> None:
    """MetaMorph: one page that stands for all planes, with UIC tags."""
    n = len(values)
    distances = [number for _ in range(n) for number in (2, 1, 0, 0, 0, 0)]
    entries = [1, 1, 4, 0xAAAAAAA1, 5, 0xAAAAAAA2, 6, 0xAAAAAAA3]
    tags = [(33629, 5, 3 * n, distances, True), (33628, 4, len(entries), entries, True)]
    tifffile.imwrite(path, values, byteorder="<", metadata=None, extratags=tags,
                     photometric="minisblack")  # fmt: skip
    patched(path, 33629, 5, 3 * n, n)
    patched(path, 33628, 4, len(entries), len(entries) // 2)
    content = path.read_bytes()
    for mark, value in (
        (0xAAAAAAA1, struct.pack("<2I", 1, 2)),
        (0xAAAAAAA2, struct.pack("<2I", 1, 4)),
        (0xAAAAAAA3, struct.pack("<I", 3) + b"um\0"),
    ):
        at = struct.pack("<I", len(content))
        content = content.replace(struct.pack("<I", mark), at) + value
    path.write_bytes(content)


def write_fei(path: Path, values: Any) -> None:
    """FEI: text in sections in tag 34682."""
    text = b"[Scan]\r\nPixelWidth=5e-7\r\nPixelHeight=2.5e-07\r\n\0"
    tags = [(34682, 2, len(text), text, True)]
    tifffile.imwrite(path, values[0], metadata=None, extratags=tags)


def write_ndpi(path: Path, values: Any) -> None:
    """Hamamatsu: tag 65420, and resolution tags in pixels per centimetre."""
    tags = [(65420, 4, 1, 1, True), (271, 2, 10, "Hamamatsu", True)]
    tifffile.imwrite(path, np.repeat(values[0][..., None], 3, -1).astype("u1"), metadata=None,
                     photometric="rgb", resolution=(20000, 40000), resolutionunit="CENTIMETER",
                     extratags=tags)  # fmt: skip


#: File, its writer, and spacing of x, y and z (if there is one) in micrometres.
MICROSCOPES: dict[str, tuple[Callable[[Path, Any], None], tuple[float, ...]]] = {
    "a.lsm": (write_lsm, (0.5, 0.25, 2)),
    "a.stk": (write_stk, (0.5, 0.25, 2)),
    "fei.tif": (write_fei, (0.5, 0.25)),
    "ndpi.tif": (write_ndpi, (0.5, 0.25)),
}


@pytest.mark.parametrize("name", list(MICROSCOPES))
def test_microscopes_say_their_sizes(name: str, tmp_path: Path) -> None:
    write, steps = MICROSCOPES[name]
    values = np.arange(3 * 6 * 7, dtype="u2").reshape(3, 6, 7)
    write(tmp_path / name, values)
    with tifffile.TiffFile(tmp_path / name) as file:
        theirs = file.series[0].asarray()
    image = sd.read(tmp_path / name)
    assert np.array_equal(np.asarray(image).squeeze(), theirs.squeeze())
    found = dict(zip(image.world.axes, image.to_unit("um").spacing, strict=True))
    assert [found[n] for n, _ in zip("xyz", steps, strict=False)] == pytest.approx(list(steps))
    if name == "a.lsm":
        assert dict(zip(image.world.axes, image.origin, strict=True))["x"] == pytest.approx(10)


@pytest.mark.parametrize(
    "tags, called",
    [
        ([(43314, 1, 2048, bytes(2048), True)], "NIH Image"),
        ([(305, 2, 12, "SI.VERSION=5", True)], "ScanImage"),
    ],
)
def test_other_dialects_are_refused_by_name(tags: list[Any], called: str, tmp_path: Path) -> None:
    more = {"software": False} if tags[0][0] == 305 else {}
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((6, 7), "u2"), metadata=None, extratags=tags, **more
    )
    with pytest.raises(FormatError, match=f"{called}.*plain=True"):
        sd.read(tmp_path / "a.tif")
    assert sd.read(tmp_path / "a.tif", plain=True).shape == (6, 7)


# --- lazy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"compress": True}, {"tile": 16}])
def test_lazy_tiff_is_pickled(options: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    image = cells()
    sd.write(tmp_path / "a.ome.tif", image, **options)
    lazy = sd.read(tmp_path / "a.ome.tif")
    assert not isinstance(lazy.data, np.ndarray)
    again = pickle.loads(pickle.dumps(lazy[1, ::-1]))
    assert np.array_equal(np.asarray(again), np.asarray(image)[1, ::-1])
    assert list(again.coords["channel"]) == list(image.coords["channel"])[::-1]


def test_an_axis_that_runs_backwards_needs_a_geotiff(tmp_path: Path) -> None:
    """Which it becomes where there is a coordinate reference system: see test_geotiff."""
    raster = sd.SpatialArray(np.zeros((4, 5), np.float32), unit="m")[::-1]
    with pytest.raises(GeometryLossError, match="runs backwards"):
        sd.write(tmp_path / "a.tif", raster)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("compress", ["deflate", "lzw", "none"])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_damaged_geotiff_is_refused_in_our_errors(
    compress: str, lazy: bool, tmp_path: Path
) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio")
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 64, "dtype": "uint16",
               "crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4.6e6),
               "tiled": True, "blockxsize": 16, "blockysize": 16, "compress": compress}  # fmt: skip
    values = np.random.default_rng(0).integers(0, 999, (1, 64, 64)).astype("u2")
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(values)
    raw = (tmp_path / "a.tif").read_bytes()
    known = 0
    for end in range(200, len(raw), 611):
        (tmp_path / "b.tif").write_bytes(raw[:end])
        try:
            found = np.asarray(sd.read(tmp_path / "b.tif", lazy=lazy).data)
        except sd.FormatError as error:
            known += "b.tif" in str(error)
        else:
            np.testing.assert_array_equal(found, values)
            known += 1
    assert known == len(range(200, len(raw), 611))
    with pytest.raises(sd.FormatError, match="series must be"):
        sd.read(tmp_path / "a.tif", series=3)
    with pytest.raises(sd.FormatError, match=r"a\.tif"):
        sd.read(tmp_path / "a.tif", level=7)


def test_what_tifffile_logs_while_it_opens_a_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It logs what it cannot read, such as the metadata at the end of a file that was cut."""
    path = tmp_path / "a.tif"
    sd.write(path, sd.SpatialArray(np.zeros((3, 4), "u1"), unit="mm"))
    real = tifffile.TiffFile.__init__

    def opened(self: Any, *args: Any, **options: Any) -> None:
        logging.getLogger("tifffile").error("invalid value offset")
        real(self, *args, **options)

    monkeypatch.setattr(tifffile.TiffFile, "__init__", opened)
    with pytest.raises(sd.FormatError, match="invalid value offset"):
        sd.read(path)
