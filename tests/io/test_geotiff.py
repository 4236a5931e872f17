"""Images with a coordinate reference system are written as GeoTIFF, as rasterio reads it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.backends.dask import _calls
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io import _safety
from spatial_duck.io._raster import SIDECARS

if TYPE_CHECKING:
    from pathlib import Path

rasterio = pytest.importorskip("rasterio", reason="needs rasterio")
pytestmark = [
    pytest.mark.library,
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
]


def raster(path: Path, dtype: str = "i2") -> sd.SpatialArray:
    """Return an image of two bands that rasterio wrote, north up."""
    values = np.arange(2 * 20 * 30).reshape(2, 20, 30).astype(dtype)
    place = rasterio.Affine(30, 0, 500_000, 0, -30, 5_400_000)
    with rasterio.open(
        path, "w", driver="GTiff", height=20, width=30, count=2, dtype=values.dtype.name,
        crs="EPSG:32633", transform=place, nodata=7,
    ) as dataset:  # fmt: skip
        dataset.write(values)
        dataset.descriptions = ("height", "slope")
        dataset.units = ("m", "degree")
        dataset.scales, dataset.offsets = (0.1, 0.2), (0.0, 5.0)
    return sd.read(path)


MOVES: dict[str, Any] = {
    "whole": lambda image: image,
    "clipped": lambda image: image[:, 3:11, 5:25],
    "thinned and flipped": lambda image: image[:, ::2, ::-1],
    "transposed": lambda image: image.transpose("x", "band", "y"),
    "one band": lambda image: image[1],
    "lazy": lambda image: image.chunk({"y": 7, "band": 1}),
}


@pytest.mark.filterwarnings("ignore:.*tiff cannot store:UserWarning")
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("options", [{}, {"compress": True}, {"tile": 16}, {"kind": "geotiff"}])
def test_what_is_written_comes_back(move: str, options: dict[str, Any], tmp_path: Path) -> None:
    image = MOVES[move](raster(tmp_path / "a.tif"))
    sd.write(tmp_path / "b.tif", image, **options)
    back = sd.read(tmp_path / "b.tif")
    wanted = image if image.ndim == 3 else image[None]
    wanted = wanted.transpose([*(a for a, n in enumerate(wanted.dims) if n not in ("x", "y")),
                               wanted.dims.index("y"), wanted.dims.index("x")])  # fmt: skip
    assert np.array_equal(np.asarray(back), np.asarray(wanted))
    indices = np.moveaxis(np.indices(wanted.shape), 0, -1)
    assert np.allclose(
        back.geometry.to_world(["x", "y"]).index_to_physical(indices),
        wanted.geometry.to_world(["x", "y"]).index_to_physical(indices),
    )
    assert back.attrs["crs"] == image.attrs["crs"]
    assert back.attrs["nodata"] == 7
    if image.ndim == 3:
        assert dict(back.coords) == dict(image.coords)
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.crs.to_epsg() == 32633


def test_xarray_clips_and_write_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("xarray", reason="needs xarray")
    array = sd.to_xarray(raster(tmp_path / "a.tif"), index=True)
    box = array.sel(x=slice(500_100, 500_400), y=slice(5_399_900, 5_399_600))
    sd.write(tmp_path / "b.tif", box)
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.xy(0, 0) == (float(box.x[0]), float(box.y[0]))
        assert np.array_equal(dataset.read(), box.values)


def test_rioxarray_clips_and_write_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="needs rioxarray")
    image = raster(tmp_path / "a.tif")
    box = sd.to_rioxarray(image).rio.clip_box(500_100, 5_399_600, 500_400, 5_399_900)
    back = sd.from_rioxarray(box)
    assert back.attrs["nodata"] == 7
    assert dict(back.coords) == dict(image.coords)
    sd.write(tmp_path / "b.tif", back)
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.nodata == 7
        assert dataset.descriptions == ("height", "slope")


def test_what_a_raster_cannot_hold_is_said_before_it_is_written(tmp_path: Path) -> None:
    image = raster(tmp_path / "a.tif")
    noted = image.replace(coords={**image.coords, "row_time": ("y", np.arange(20.0))})
    with pytest.warns(UserWarning, match="cannot store the coordinates 'row_time'"):
        sd.write(tmp_path / "b.tif", noted)
    with pytest.raises(sd.FormatError, match="GeoTIFF has no type for int64"):
        sd.write(tmp_path / "c.tif", image.astype("i8"))
    assert not (tmp_path / "c.tif").exists()
    sd.write(tmp_path / "d.tif", image[:, ::-1], kind="ome")
    assert sd.read(tmp_path / "d.tif", plain=True).shape == image.shape


def test_a_sparse_raster_that_declares_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=200_000, width=200_000, count=1,
        dtype="uint8", crs="EPSG:32633", transform=rasterio.Affine(30, 0, 0, 0, -30, 0),
        tiled=True, blockxsize=2048, blockysize=2048, sparse_ok=True, bigtiff="yes",
    ):  # fmt: skip
        pass
    monkeypatch.setattr(_safety, "available_memory", lambda: 1 << 30)
    with pytest.raises(UnsafeInputError, match="40,000,000,000 bytes"):
        sd.read(tmp_path / "a.tif")
    monkeypatch.setattr(_calls, "MOST_BLOCKS", 5000)
    with pytest.raises(UnsafeInputError, match="9,604 chunks"):
        sd.read(tmp_path / "a.tif", lazy=True)


# --- parts in other files -----------------------------------------------------------------

_PAM = '<PAMDataset><Metadata domain="{}"><MDI key="{}">{}</MDI></Metadata></PAMDataset>'
_VRT = (
    '<VRTDataset rasterXSize="15" rasterYSize="10"><VRTRasterBand dataType="Int16" band="1">'
    "<SimpleSource><SourceFilename>{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
)
_DOMAINS = {"level": ("OVERVIEWS", "OVERVIEW_FILE"), "series": ("SUBDATASETS", "SUBDATASET_1_NAME")}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _name(path: Path, secret: str, option: str) -> None:
    domain, key = _DOMAINS[option]
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns=domain, **{key: secret})


def _name_beside(path: Path, secret: str, option: str) -> None:
    _beside(path, ".aux.xml").write_text(_PAM.format(*_DOMAINS[option], secret))


def _vrt(path: Path, secret: str, _: str) -> None:
    _beside(path, ".ovr").write_text(_VRT.format(secret))


def _link(path: Path, secret: str, _: str) -> None:
    _beside(path, ".ovr").symlink_to(secret)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "make, option",
    [(_name, "level"), (_name, "series"), (_name_beside, "level"), (_name_beside, "series"),
     (_vrt, "level"), (_link, "level")],
)  # fmt: skip
def test_parts_in_other_files_are_refused(
    make: Any, option: str, lazy: bool, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    raster(tmp_path / "secret.tif")
    path = tmp_path / "a" / "a.tif"
    raster(path)
    make(path, str(tmp_path / "secret.tif"), option)
    with pytest.raises(FormatError, match=r"another file|must be a TIFF"):
        sd.read(path, lazy=lazy, **{option: 1})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("suffix", SIDECARS)
def test_fifos_beside_a_raster_are_refused(suffix: str, tmp_path: Path) -> None:
    raster(tmp_path / "a.tif")
    os.mkfifo(tmp_path / f"a.tif{suffix}")
    with pytest.raises(FormatError, match="FIFO"):
        sd.read(tmp_path / "a.tif")


def test_overviews_and_metadata_beside_a_raster_are_read_and_replaced_with_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tif"
    image = raster(path)
    half = np.asarray(image)[:, ::2, ::2]
    with rasterio.open(
        _beside(path, ".ovr"), "w", driver="GTiff", height=10, width=15, count=2, dtype="int16",
        transform=rasterio.Affine(60, 0, 0, 0, -60, 0),
    ) as file:  # fmt: skip
        file.write(half)
    _beside(path, ".aux.xml").write_text(
        "<PAMDataset><GeoTransform>0, 30, 0, 0, 0, -30</GeoTransform></PAMDataset>"
    )
    assert np.array_equal(np.asarray(sd.read(path, level=1)), half)
    assert not sd.read(path).geometry.isclose(image.geometry)
    lazy = sd.read(path, level=1, lazy=True)
    sd.write(path, image, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    assert sd.read(path).geometry.isclose(image.geometry)
    with pytest.raises(FormatError, match=r"a\.tif"):
        lazy.compute()


def test_a_name_is_not_read_as_that_of_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image = raster(tmp_path / "a.tif")
    for name in "GTIFF_DIR:1:a.tif", "zip:a.tif":
        sd.write(tmp_path / name, image + 1)
        assert np.array_equal(np.asarray(sd.read(name)), np.asarray(image + 1))
