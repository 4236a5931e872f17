# %% [markdown]
# # N4, histogram matching and meshes by other libraries, and back in place
#
# What other libraries do well is used with two words: every filter of SimpleITK and ITK takes and
# gives images in their place. Needs SimpleITK; PyVista is used for the mesh where it is installed.

# %%
import importlib.util

import numpy as np

import spatial_duck as sd

grid = sd.Geometry((10, 32, 32), (3, 1.5, 1.5), (4, 5, 6), frame="LPS", unit="mm")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
head = np.linalg.norm(place / [1.0, 1.4, 1.4], axis=-1) < 12
clean = np.where(head, 100.0 + 20 * (place[..., 1] > 0), 5.0)
bias = np.exp(0.02 * place[..., 2])
noise = np.random.default_rng(0).normal(0, 1, grid.shape)
scan = sd.SpatialArray((clean * bias + noise).astype("float32"), grid)

# %% [markdown]
# N4 takes a shrunk image and a mask for speed, as SimpleITK's documentation has it.

# %%
mask = sd.SpatialArray(head.astype("uint8"), grid)
corrected = sd.sitk.N4BiasFieldCorrection(scan, mask, 0.001, [20, 10])
assert corrected.geometry.isclose(scan.geometry)


def spread(image):
    """Return the relative spread of one tissue."""
    tissue = np.asarray(image)[head & (place[..., 1] < 0)]
    return tissue.std() / tissue.mean()


print(f"spread of a tissue: {spread(scan):.3f} before, {spread(corrected):.3f} after")
assert spread(corrected) < spread(scan)

# %% [markdown]
# Histogram matching: two images, which need not lie on one grid. Its parameters are the levels of
# the histograms, the quantiles that are matched, and whether what is darker than the mean is left
# out.

# %%
other = sd.SpatialArray(np.asarray(clean * 3 + 10, "float32"), grid)
matched = sd.sitk.HistogramMatching(corrected, other, 1024, 15, False)
quantiles = [np.quantile(image.data, (0.05, 0.5, 0.85)) for image in (corrected, other, matched)]
print("quantiles", *[found.round().astype(int).tolist() for found in quantiles])
assert np.allclose(quantiles[2], quantiles[1], atol=1)
assert matched.geometry.isclose(scan.geometry)

# %% [markdown]
# A mesh with its vertices in the world: of this library, and in PyVista for saving and showing.

# %%
surface = sd.measure.marching_cubes(corrected, 60.0)
low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
print(len(surface.faces), "triangles from", low.round(1), "to", high.round(1), "mm")
assert np.all(np.abs((low + high) / 2 - grid.center) < 1.5)

if importlib.util.find_spec("pyvista"):
    mesh = sd.to_pyvista(corrected)
    print(mesh.dimensions, mesh.spacing)
