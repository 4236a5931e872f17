# %% [markdown]
# # A DICOM series becomes a NIfTI file
#
# A folder of DICOM slices is one volume whose place is said slice by slice. `sd.read` sorts the
# slices by their positions, and refuses gaps and duplicates by name. Needs the extra `io`.

# %%
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

import spatial_duck as sd

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)

# %% [markdown]
# A small CT to work on, written as DICOM: slices of 2.5 mm, pixels of 0.8 mm, in the frame LPS of
# DICOM. With data of your own, begin at the next step.

# %%
values = np.random.default_rng(0).integers(-1000, 1000, (5, 16, 20)).astype("int16")
made = sd.SpatialArray(
    values,
    spacing=(2.5, 0.8, 0.8),
    origin=(-40, 12, -30),
    frame="LPS",
    unit="mm",
    attrs={"dicom": {"Modality": "CT"}},
)
sd.write(folder / "series", made, format="dicom")

# %% [markdown]
# Look at the header before anything is loaded, then read.

# %%
print(sd.io.info(folder / "series"))
scan = sd.read(folder / "series")
print(scan)

# %% [markdown]
# NIfTI's world is RAS, and its axes are x, y, z: both are changed on the way, by name. No voxel
# moves. `.nii.gz` could be `.nrrd`, `.mha` or `.ome.zarr` as well.

# %%
sd.write(folder / "scan.nii.gz", scan)

# %% [markdown]
# nibabel finds each voxel where it was: LPS and RAS differ in the signs of x and y.

# %%
other = nib.load(folder / "scan.nii.gz")
z, y, x = 3, 4, 5
place = dict(zip(scan.world.axes, scan.index_to_physical([z, y, x]), strict=True))
ras = nib.affines.apply_affine(other.affine, [x, y, z])
print(place, ras)
assert np.allclose(ras, [-place["x"], -place["y"], place["z"]], atol=1e-4)
assert np.asanyarray(other.dataobj)[x, y, z] == np.asarray(scan)[z, y, x]

# %%
scratch.cleanup()
