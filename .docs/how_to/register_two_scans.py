# %% [markdown]
# # Register two scans, and trust the answer or not
#
# Needs the extra `register`.

# %%
import tempfile
from pathlib import Path

import numpy as np

import spatial_duck as sd

# %% [markdown]
# Two small heads, one of them turned by 6° and moved by some millimetres: `truth` maps points of
# the fixed image to points of the moving one.

# %%
grid = sd.Geometry((12, 20, 20), (4, 2.4, 2.4), frame="LPS", unit="mm")
angle = np.deg2rad(6)
turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
centre = np.asarray(grid.center)
matrix = np.eye(4)
matrix[:3, :3], matrix[:3, 3] = turn, centre - turn @ centre + [1.0, -2.0, 1.5]
truth = sd.Affine(matrix, grid.world)


def head(points):
    """Return values at points of the world: a head with two structures in it."""
    at = points - centre
    ball = 100 / (1 + np.exp(((at / [18, 15, 17]) ** 2).sum(-1) * 8 - 8))
    left = 60 * np.exp(-(((at - [3, 5, -6]) / 4) ** 2).sum(-1))
    right = 40 * np.exp(-(((at - [-4, -6, 5]) / [3, 6, 3]) ** 2).sum(-1))
    return ball + left + right


points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
fixed = sd.SpatialArray(head(points), grid)
moving = sd.SpatialArray(head(truth.inverse()(points)), grid)

# %% [markdown]
# `register` chooses where to start. These are small: one level and 100 iterations are enough. The
# answer says whether the search came to rest, and whether it can be trusted: look at both.

# %%
found = sd.register(
    fixed, moving, "rigid", metric="mean_squares", levels=1, iterations=40, samples=3000
)
print(found)
assert found.converged

# %% [markdown]
# Judge it in millimetres, at points inside the head; and apply it, lazily where the image is lazy.

# %%
inside = centre + np.random.default_rng(1).uniform(-10, 10, (200, 3))
error = np.linalg.norm(found(inside) - truth(inside), axis=-1).max()
print(f"largest error {error:.2f} mm")
assert error < 0.5
moved = sd.resample(moving, to=fixed, transform=found)
assert abs(moved - fixed).mean() < 0.5 * abs(moving - fixed).mean()

# %% [markdown]
# The transform is a file of ITK's, which SimpleITK, ANTs and 3D Slicer read.

# %%
with tempfile.TemporaryDirectory() as folder:
    found.write(Path(folder) / "found.tfm")
    again = sd.Transform.read(Path(folder) / "found.tfm")
    columns = [found.world.axes.index(name) for name in again.world.axes]
    assert np.allclose(again(inside[:, columns]), found(inside)[:, columns], atol=1e-4)
