# %% [markdown]
# # Resample as MONAI and TotalSegmentator do
#
# Pipelines that were trained behind `monai.transforms.Spacing` or TotalSegmentator's
# `change_spacing` want their values. What both do is a grid and an interpolation; `sd.resample`
# takes the grid, is lazy on Zarr and Dask, and gives the values. Needs MONAI and SciPy.

# %%
import monai.transforms
import numpy as np
import scipy.ndimage

import spatial_duck as sd

values = np.random.default_rng(0).normal(size=(20, 24, 13)).astype("float32")
image = sd.SpatialArray(
    values, dims=("x", "y", "z"), spacing=(0.9, 1.1, 3), origin=(5, -3, 10), frame="RAS", unit="mm"
)

# %% [markdown]
# ## MONAI's `Spacing`, and its inverse
#
# It keeps the centre of the first voxel. The grid is that of its answer, which `sd.asarray` reads;
# beyond the outermost centres it repeats the edge.

# %%
spacing = monai.transforms.Spacing((1.5, 1.5, 1.5), mode="bilinear", padding_mode="border")
theirs = spacing(sd.to_monai(image))
wanted = sd.asarray(theirs)[0].geometry
ours = sd.resample(image, to=wanted, interpolation="linear", fill="edge")
difference = np.abs(ours.data - np.asarray(theirs)[0]).max()
print(f"there: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# Its inverse interpolates again, onto the grid that the image came from: so does `to=image`.
# `sd.conform` and `sd.restore` do both ways with one record.

# %%
back = np.asarray(spacing.inverse(theirs))[0]
difference = np.abs(sd.resample(ours, to=image, fill="edge").data - back).max()
print(f"and back: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# Labels go by `interpolation="nearest"`, and are the same wherever no point lies halfway between
# two voxels. Where one does, as with 0.75 mm out of 3 mm, MONAI's answer follows from rounding
# errors, and differs between its modes and its `dtype`; here it is the voxel that comes later.

# %%
marks = np.random.default_rng(1).integers(0, 5, (20, 24, 13)).astype("uint8")
labels = image.replace(marks)
for mode, padding in ((0, "nearest"), ("nearest", "border")):
    spacing = monai.transforms.Spacing((0.8, 0.8, 0.8), mode=mode, padding_mode=padding)
    theirs = spacing(sd.to_monai(labels))
    wanted = sd.asarray(theirs)[0].geometry
    ours = sd.resample(labels, to=wanted, interpolation="nearest", fill="edge")
    same = (ours.data == np.asarray(theirs)[0]).mean()
    print(f"labels, mode {mode!r}: {same:.2%} the same")
    assert same > 0.9999

# %% [markdown]
# Cubic splines (`mode=3`) go through values that are continued by the outermost ones, those of
# `sd.resample` are mirrored as ITK's are. `np.pad` continues an image, and moves its origin.

# %%
spacing = monai.transforms.Spacing((1.5, 1.5, 1.5), mode=3, padding_mode="nearest")
theirs = spacing(sd.to_monai(image))
wanted = sd.asarray(theirs)[0].geometry
ours = sd.resample(np.pad(image, 12, mode="edge"), to=wanted, interpolation="cubic")
difference = np.abs(ours.data - np.asarray(theirs)[0]).max()
print(f"cubic: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# ## TotalSegmentator's `change_spacing`
#
# It calls `scipy.ndimage.zoom`, which puts the first and the last voxel centre of both grids on
# each other, so that voxels are not quite as long as was asked for.

# %%
zoomed = scipy.ndimage.zoom(values, image.spacing / 1.5, order=1, mode="nearest")
steps = (np.array(image.shape) - 1) / (np.array(zoomed.shape) - 1)
grid = image.geometry.replace(shape=zoomed.shape, spacing=(image.spacing * steps).tolist())
difference = np.abs(sd.resample(image, to=grid).data - zoomed).max()
print(f"zoom, linear: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# The affine that it writes says 1.5 mm all the same. So its last voxel is said to lie elsewhere
# than where its value comes from; the grid above says where that is.

# %%
off = np.abs(grid.spacing - 1.5) * (np.array(grid.shape) - 1)
print(f"off by up to {off.max():.1f} mm")
assert off.max() > 1

# %% [markdown]
# Images go by cubic splines (`order=3`), again of values that are continued by the outermost ones,
# and labels by the nearest voxel (`order=0`).

# %%
zoomed = scipy.ndimage.zoom(values, image.spacing / 1.5, order=3, mode="nearest")
ours = sd.resample(np.pad(image, 12, mode="edge"), to=grid, interpolation="cubic")
difference = np.abs(ours.data - zoomed).max()
print(f"zoom, cubic: {difference:.1e}")
assert difference < 1e-5

zoomed = scipy.ndimage.zoom(marks, image.spacing / 1.5, order=0, mode="nearest")
same = (sd.resample(labels, to=grid, interpolation="nearest").data == zoomed).mean()
print(f"zoom, labels: {same:.2%} the same")
assert same > 0.9999
