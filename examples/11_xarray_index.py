"""xarray without a wrapper: an index with an oblique geometry, files, and ``.spatial``.

    python examples/11_xarray_index.py

Needs xarray, Zarr and Dask (pip install 'spatial-duck[interop,zarr]').
"""

import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

import spatial_duck as sd

turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
image = sd.SpatialArray(
    np.arange(4 * 6 * 8, dtype="f4").reshape(4, 6, 8),
    spacing=(2.5, 0.75, 0.5), origin=(10, 20, 30), direction=turn, frame="LPS", unit="mm",
)  # fmt: skip

# A DataArray of a NumPy array, whose coordinates belong to one index.
array = sd.to_xarray(image, index=True, name="ct")
print(type(array.data).__name__, list(array.xindexes)[:3])

# xarray's own operations update the index, oblique or not.
part = (array.isel(z=slice(1, None), x=slice(None, None, -2)) * 2).transpose("x", "z", "y")
wanted = (image[1:, :, ::-2] * 2).transpose("x", "z", "y")
print("geometry follows:", sd.asarray(part).geometry == wanted.geometry)

# An axis along a world axis is selected by position; an oblique one raises an error.
print("z nearest to 13:", float(array.sel(z=13, method="nearest")[0, 0]))
try:
    array.sel(y=21, method="nearest")
except sd.errors.GeometryError as error:
    print("refused:", str(error)[:48], "…")

# Arrays on different grids do not align.
try:
    array + sd.to_xarray(image.replace(origin=(0, 0, 0)), index=True)
except sd.errors.GeometryMismatchError as error:
    print("refused:", str(error).splitlines()[0][:48], "…")

# Functions in physical units are under .spatial.
low, high = image[1:3].bounds
part = array.spatial.crop((low, high))
print("cropped to", dict(part.sizes), "as", type(part.data).__name__)

with tempfile.TemporaryDirectory() as folder:
    # Saved by xarray, it is read back with its geometry.
    array.to_zarr(Path(folder) / "ct.zarr", consolidated=False)
    back = xr.open_dataset(Path(folder) / "ct.zarr", engine="zarr", consolidated=False)["ct"]
    print("geometry read back:", sd.from_xarray(back).geometry.isclose(image.geometry))

    # Every format that spatial_duck reads opens as a dataset, lazily if the format allows it.
    sd.write(Path(folder) / "ct.nrrd", image)
    opened = xr.open_dataset(Path(folder) / "ct.nrrd", engine="spatial_duck")["image"]
    print("opened with its geometry:", opened.spatial.geometry.isclose(image.geometry))
