# %% [markdown]
# # Apply the transforms of ANTs and FSL
#
# Every program writes transforms in conventions of its own: ANTs in LPS, FSL in scaled voxels of
# two images. `Transform.read` knows them. Needs SimpleITK, which writes the files here.

# %%
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

import spatial_duck as sd

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)

grid = sd.Geometry((12, 14, 16), (2, 1.5, 1.5), (5, -8, -9), frame="LPS", unit="mm")
values = np.random.default_rng(0).random(grid.shape)
moving = sd.ndimage.gaussian_filter(sd.SpatialArray(values, grid), 3)
fixed = sd.SpatialArray(np.zeros((8, 9, 10)), spacing=(2, 2, 2), origin=(9, -4, -4), frame="LPS",
                        unit="mm")  # fmt: skip

# %% [markdown]
# ANTs' `0GenericAffine.mat`: it maps points of the fixed image to points of the moving one, as all
# transforms here do.

# %%
affine = sitk.AffineTransform([1, 0.02, 0, -0.02, 1, 0, 0, 0, 1.01], (1, -0.5, 0.7), (2, 2, 2))
sitk.WriteTransform(affine, str(folder / "0GenericAffine.mat"))
found = sd.Transform.read(folder / "0GenericAffine.mat")
print(found([1.0, 2.0, 3.0]), affine.TransformPoint((1.0, 2.0, 3.0)))
assert np.allclose(found([1.0, 2.0, 3.0]), affine.TransformPoint((1.0, 2.0, 3.0)))

# %% [markdown]
# The image moves in one interpolation, and agrees with SimpleITK's own.

# %%
moved = sd.resample(moving, to=fixed, transform=found)
theirs = sitk.Resample(sd.to_simpleitk(moving), sd.to_simpleitk(fixed), affine, sitk.sitkLinear)
assert np.allclose(np.asarray(moved), sitk.GetArrayFromImage(theirs), atol=1e-6)

# %% [markdown]
# FSL's matrices are about two images, which therefore have to be named.

# %%
np.savetxt(folder / "flirt.mat", np.eye(4))
flirt = sd.Transform.read(folder / "flirt.mat", reference=moving, moving=moving)
points = np.array([[1.0, 2.0, 8.0], [0.0, -3.0, 12.0]])
assert np.allclose(flirt(points), points)

# %% [markdown]
# Chains are joined first, and then applied once: points of the fixed image go through the first one
# first (ANTs' lists are read from their end). A chain has an inverse, and is written for ITK.

# %%
shift = sd.Affine([[1, 0, 0, 1], [0, 1, 0, 0.5], [0, 0, 1, -2], [0, 0, 0, 1]], found.world)
chain = sd.Composite(shift, found)
assert np.allclose(chain(points), found(shift(points)))
assert np.allclose(chain.inverse()(chain(points)), points)
chain.write(folder / "chain.h5")
again = sitk.ReadTransform(str(folder / "chain.h5"))
assert np.allclose([again.TransformPoint(p.tolist()) for p in points], chain(points))

# %%
scratch.cleanup()
