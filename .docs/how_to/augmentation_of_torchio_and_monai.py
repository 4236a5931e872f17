# %% [markdown]
# # Augmentation by TorchIO and MONAI, and back in place
#
# `sd.patches` and `sd.augment` move images in space. The artefacts of scanners (bias fields,
# ghosts, motion, noise, Gibbs ringing) are what TorchIO and MONAI do well. Both take an image with
# its place and give one back. Needs TorchIO and MONAI.

# %%
import monai.transforms
import numpy as np
import torch
import torchio

import spatial_duck as sd

turn = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, -1.0]])
grid = sd.Geometry((12, 40, 36), (4, 1.5, 1.5), (-20, 30, 12), turn, frame="LPS", unit="mm")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
ball = np.linalg.norm(place, axis=-1) < 15
noise = np.random.default_rng(0).normal(0, 5, grid.shape)
scan = sd.SpatialArray(np.where(ball, 100, 20) + noise, grid).astype("float32")
labels = sd.SpatialArray(ball.astype("uint8"), grid)

# %% [markdown]
# A patch with its label, rotated and on the spacing of the network, in one interpolation.

# %%
cases = sd.patches([(scan, labels)], 24, spacing=2.0, augment={"rotation": 15}, balance=1)
image, label = cases[0]

# %% [markdown]
# ## TorchIO
#
# A subject of both goes through any of its transforms. Its axes are c, x, y, z; those of the patch
# come back by name, and no voxel is interpolated on the way.

# %%
torch.manual_seed(0)
subject = torchio.Subject(image=sd.to_torchio(image), label=sd.to_torchio(label, kind="label"))
artefacts = torchio.Compose(
    [torchio.RandomBiasField(0.3), torchio.RandomGhosting(), torchio.RandomNoise(std=2)]
)
changed = artefacts(subject)
noisy, same = [sd.asarray(x)[0].transpose(image.dims) for x in (changed.image, changed.label)]
print(f"TorchIO changed values by {np.abs(noisy - image).max():.1f}, and no label")
assert noisy.geometry.isclose(image.geometry)
assert not np.allclose(noisy.data, image.data)
assert np.array_equal(same.data, label.data)

# %% [markdown]
# ## MONAI
#
# Its transforms take a `MetaTensor`, which knows its affine. The dictionary forms, such as
# `RandGibbsNoised(["image"], ...)`, take a dict of these.

# %%
ringing = monai.transforms.Compose(
    [
        monai.transforms.RandGibbsNoise(prob=1, alpha=(0.6, 0.6)),
        monai.transforms.RandBiasField(prob=1),
    ]
)
ringing.set_random_state(0)
found = ringing(sd.to_monai(image))
ringed = sd.asarray(found)[0].transpose(image.dims)
print(f"MONAI changed values by {np.abs(ringed - image).max():.1f}")
assert ringed.geometry.isclose(image.geometry)
assert not np.allclose(ringed.data, image.data)

# %% [markdown]
# ## Transforms that change the grid
#
# What comes back says where it lies, so that it is brought onto the scan like any other image. A
# prediction for it comes back the same way.

# %%
coarse = torchio.RandomAnisotropy(axes=2, downsampling=2)(sd.to_torchio(scan))
cropped = monai.transforms.RandSpatialCrop(8, random_size=False)(sd.to_monai(scan))
for part in (coarse, cropped):
    back = sd.resample(sd.asarray(part)[0].to("numpy"), to=scan, fill=np.nan)
    known = np.isfinite(back.data)
    apart = np.abs(back - scan).data[known].mean()
    print(f"{back.shape}: {known.mean():.0%} of the voxels, {apart:.1f} from the scan")
    assert back.geometry.isclose(scan.geometry)
    assert apart < 10

# %% [markdown]
# In a loop for training: theirs in the workers of the loader, after the patch is cut.


# %%
class Augmented(torch.utils.data.Dataset):
    """Patches with artefacts, as tensors of shape (c, z, y, x)."""

    def __init__(self, patches):
        self.patches = patches

    def __len__(self):
        return len(self.patches)

    def __getitem__(self, index):
        image, label = self.patches[index]
        image = sd.asarray(ringing(sd.to_monai(image)))[0].transpose(label.dims)
        return torch.as_tensor(image.data)[None], torch.as_tensor(label.data)[None]


values, marks = next(iter(torch.utils.data.DataLoader(Augmented(cases), batch_size=1)))
print(tuple(values.shape), tuple(marks.shape))
assert values.shape == marks.shape == (1, 1, 24, 24, 24)
