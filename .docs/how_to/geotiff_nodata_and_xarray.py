# %% [markdown]
# # A GeoTIFF with nodata, and xarray
#
# A raster of heights, in a projected system in metres, with pixels that hold no data. Needs
# rasterio and rioxarray (extra `libraries`).

# %%
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import spatial_duck as sd

scratch = tempfile.TemporaryDirectory()
path = Path(scratch.name) / "heights.tif"

# %%
heights = (np.add.outer(np.arange(40), np.arange(60)) * 2).astype("int16")
heights[:5, :7] = -9999
profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 1, "dtype": "int16"}
place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_400_000, 30, 30)}
with rasterio.open(path, "w", **profile, **place, nodata=-9999) as dataset:
    dataset.write(heights, 1)

# %% [markdown]
# `read` keeps the values as they are, with the system and the nodata value beside them. The origin
# is the *centre* of the first pixel, as everywhere here; a GeoTIFF's corner is `corner`.

# %%
raster = sd.read(path)
print(raster)
assert raster.attrs["nodata"] == -9999
x, y = raster.world.axes.index("x"), raster.world.axes.index("y")
assert raster.origin[x] == 500_015
assert raster.origin[y] == 5_399_985

# %% [markdown]
# Before values are mixed with their neighbours, nodata have to go: `masked=True` makes them NaN.

# %%
with rasterio.open(path) as dataset:
    masked = sd.from_rasterio(dataset, masked=True)
dem = masked[0] if masked.ndim == 3 else masked
print(float(np.nanmean(dem)), "m on average")
assert int(np.isnan(np.asarray(dem)).sum()) == 35

# %% [markdown]
# To pixels of 60 m; and the height at a place, in the coordinates of the map.

# %%
coarse = sd.resample(dem, spacing=60.0)
print(coarse.shape, coarse.spacing)
spot = np.empty(2)
spot[dem.world.axes.index("x")], spot[dem.world.axes.index("y")] = 500_615, 5_399_385
print(float(sd.sample(dem, spot)), "m at E 500615, N 5399385")
assert float(sd.sample(dem, spot)) == heights[20, 20]

# %% [markdown]
# xarray and rioxarray take it, share its memory, and give it back.

# %%
array = sd.to_rioxarray(dem)
assert array.rio.crs.to_epsg() == 32633
box = array.sel(x=slice(500_300, 501_000), y=slice(5_399_700, 5_399_200))
part = sd.from_rioxarray(box)
print(part)
assert np.array_equal(part.data, heights[10:27, 10:33], equal_nan=True)

# %% [markdown]
# An image with a coordinate reference system is written as a GeoTIFF, however it was cut: by
# xarray as above, or by places of the map.

# %%
clipped = sd.crop(raster, {"x": (500_300, 501_000), "y": (5_399_200, 5_399_700)})
sd.write(Path(scratch.name) / "clipped.tif", clipped)
with rasterio.open(Path(scratch.name) / "clipped.tif") as dataset:
    print(dataset.crs, dataset.transform, dataset.nodata)
    assert dataset.crs.to_epsg() == 32633
    assert dataset.xy(0, 0) == (500_315, 5_399_685)
    assert np.array_equal(dataset.read(1), heights[10:27, 10:33])

# %% [markdown]
# `sd.resample(raster, to=other)` brings a raster onto the pixels of another one of the same system.
# It does not reproject: two systems are refused, and rioxarray leads from one to the other.

# %%
attrs = {"crs": "EPSG:32632", "nodata": np.nan}
other = sd.SpatialArray(np.zeros((30, 30)), dem.geometry[5:35, 5:35], attrs=attrs)
try:
    sd.resample(dem, to=other)
except sd.GeometryMismatchError as error:
    print(error)
else:
    raise AssertionError("these numbers mean other places")
reprojected = sd.from_rioxarray(sd.to_rioxarray(dem).rio.reproject("EPSG:32632"))
onto = sd.resample(reprojected, to=other, fill=np.nan)
assert onto.geometry.isclose(other.geometry)

# %%
scratch.cleanup()
