# %% [markdown]
# # Bring a mask onto a scan
#
# A mask that was drawn on one image is wanted on another: other voxels, another field of view,
# other directions. Needs NumPy alone; the extra `resample` makes it fast.

# %%
import numpy as np

import spatial_duck as sd

values = np.random.default_rng(0).normal(100, 20, (24, 40, 40)).astype("float32")
scan = sd.SpatialArray(values, spacing=(2, 1, 1), origin=(0, 0, 0), frame="LPS", unit="mm")

# %% [markdown]
# The mask lies on a coarser grid that covers a part of the scan, in the frame RAS.

# %%
grid = sd.Geometry((8, 10, 10), (4, 3, 3), (9, 6, 6), frame="LPS", unit="mm")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
ball = np.linalg.norm(place - grid.center, axis=-1) < 10
mask = sd.SpatialArray(ball, grid).reorient("RAS").to_frame("RAS")
print(mask)

# %% [markdown]
# `to=` takes an image or a geometry. Masks and labels are resampled by the nearest voxel;
# `interpolation="label"` takes the label with the largest share, and makes smoother edges.

# %%
on_scan = sd.resample(mask, to=scan, interpolation="nearest")
assert on_scan.geometry.isclose(scan.geometry)
assert on_scan.dtype == mask.dtype

# %% [markdown]
# Now both mix. Before, they would not have: images of two grids are refused, not broadcast.

# %%
inside = scan[on_scan.data]
elsewhere = on_scan.replace(origin=(0, 0, 1))
try:
    scan * elsewhere
except sd.GeometryError as error:
    print(f"{type(error).__name__}: {error}")
else:
    raise AssertionError("the grids differ")

# %% [markdown]
# The object is where it was, and as large, to within the voxels' size.

# %%
there = sd.measure.regionprops(mask.astype("uint8").to_frame("LPS"))
here = sd.measure.regionprops(on_scan.astype("uint8"))
axes = [mask.world.axes.index(name) for name in scan.world.axes]
print(there["volume"], here["volume"], there["centroid"][:, axes], here["centroid"])
assert np.allclose(there["centroid"][:, axes], here["centroid"], atol=0.5)
assert abs(here["volume"][0] / there["volume"][0] - 1) < 0.1
