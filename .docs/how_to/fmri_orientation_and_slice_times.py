# %% [markdown]
# # Functional MRI: orientation, slice times, and the original axes
#
# A series has a place in space and in time, and each slice was taken at a time of its own. Needs
# nibabel.

# %%
import nibabel as nib
import numpy as np

import spatial_duck as sd

# %% [markdown]
# A series as scanners give it: slices of 3 mm, volumes every 2 s, slices taken one after the other.
# Its values are the time at which each was taken, so that we see what is done to them.

# %%
shape, repetition = (6, 7, 8, 10), 2.0
late = np.arange(8) * 0.25
taken = np.broadcast_to(late[:, None] + repetition * np.arange(10), shape).astype("float32")
affine = np.diag([-2.5, 2.5, 3.0, 1.0])
nifti = nib.Nifti1Image(taken, affine)
nifti.header.set_xyzt_units("mm", "sec")
nifti.header.set_zooms((2.5, 2.5, 3.0, repetition))
nifti.header.set_dim_info(slice=2)
nifti.header["slice_code"], nifti.header["slice_end"] = 1, 7
nifti.header["slice_duration"] = 0.25

scan = sd.asarray(nifti)
print(scan)
print(scan.coords["slice_time"].values)
assert np.allclose(scan.coords["slice_time"].values, late)

# %% [markdown]
# Axes are turned and flipped by name; the slice times turn with their axis, which is what goes
# wrong where they are a list beside the array.

# %%
flipped = scan.isel(z=slice(None, None, -1))
assert np.allclose(flipped.coords["slice_time"].values, late[::-1])
canonical = scan.reorient("RAS")
print(scan.orientation, "->", canonical.orientation)

# %% [markdown]
# Correct the slice times: each slice's series, interpolated to the start of the volumes.

# %%
times = repetition * np.arange(scan.sizes["t"])
corrected = np.array(canonical.data)
for k, offset in enumerate(canonical.coords["slice_time"].values):
    series = corrected[:, :, k].reshape(-1, times.size)
    moved = [np.interp(times, times + offset, one) for one in series]
    corrected[:, :, k] = np.reshape(moved, corrected[:, :, k].shape)
result = canonical.replace(corrected)
assert np.allclose(np.asarray(result)[..., 1:], times[1:], atol=1e-5)

# %% [markdown]
# Mean over time, change in percent, and back to the axes that the scanner had.

# %%
mean = result.mean("t")
print(mean.dims, mean.spacing)
back = result.reorient(like=scan)
assert back.geometry.isclose(scan.geometry)
assert nib.aff2axcodes(sd.to_nibabel(back).affine) == nib.aff2axcodes(affine)

# %% [markdown]
# The mean still lies at a time, the middle of the series, which NIfTI keeps in a fourth axis of
# length 1. Other programs want a file of three axes: leave the time out.

# %%
anatomical = mean.to_world(["x", "y", "z"])
assert sd.to_nibabel(mean).ndim == 4
assert sd.to_nibabel(anatomical).ndim == 3
