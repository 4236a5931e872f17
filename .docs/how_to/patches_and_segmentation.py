# %% [markdown]
# # Train on patches, segment, and bring the answer back
#
# A network wants voxels of one size, axes that run one way, and values of one range; a patient's
# scan has its own. Needs the extra `resample`. The "network" is a threshold, to keep this short.

# %%
import numpy as np

import spatial_duck as sd

grid = sd.Geometry((12, 40, 40), (5, 1.5, 1.5), (-20, 30, 12), frame="LPS", unit="mm")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
truth = np.linalg.norm(place, axis=-1) < 15
noise = np.random.default_rng(0).normal(0, 10, grid.shape)
scan = sd.SpatialArray(np.where(truth, 80, -50) + noise, grid)
labels = sd.SpatialArray(truth.astype("uint8"), grid)

# %% [markdown]
# Patches for training: each is one read and one interpolation, with target spacing and a random
# rotation in it. Half of them show the object (`balance`). Number i is the same for every worker.

# %%
cases = sd.patches(
    [(scan, labels)], 16, spacing=2.0, count=4, balance=1, augment={"rotation": 15}, seed=1
)
image, mask = cases[0]
print(len(cases), "patches", image.shape, image.spacing)
assert image.geometry == mask.geometry
assert np.array_equal(cases[0][0].data, image.data)

# %% [markdown]
# The whole scan for inference: the grid and the values that the network wants, and a record.

# %%
there, record = sd.conform(scan, orientation="SPL", spacing=2.0, intensity=("ct-window", 40, 400))
print(there.shape, there.spacing, there.orientation)


def network(window):
    """Stand for a network: windows in, labels of the same shape out."""
    return (window > 0.5).astype("uint8")


# %% [markdown]
# Windows that overlap run over a volume of any size; see `sd.sliding_window` for probabilities that
# are blended. Here block by block with a halo of 4 mm.

# %%
answer = sd.map_blocks(network, there, halo=4.0, blocks=16)

# %% [markdown]
# Clean the answer, in mm³, and bring it back onto the scan: its grid, axes and frame.

# %%
answer = sd.segmentation.keep_largest(answer)
back = sd.restore(answer, record, kind="label")
assert back.geometry.isclose(scan.geometry)
print("Dice", float(sd.metrics.dice(labels > 0, back > 0)))
assert float(sd.metrics.dice(labels > 0, back > 0)) > 0.9
