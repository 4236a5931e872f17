"""Batches of PyTorch's, and JAX's transformations, on images."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.array import _frameworks as frameworks

VALUES = np.random.default_rng(3).random((2, 4, 5, 6)).astype("f4")


def image(**more: Any) -> sd.SpatialArray:
    how: dict[str, Any] = {"dims": ("c", "z", "y", "x"), "spacing": (1, 2, 3),
                           "origin": (1, 2, 3), "frame": "LPS", "unit": "mm"}  # fmt: skip
    return sd.SpatialArray(VALUES, **how | more)


def test_neither_library_is_imported_or_asked_for() -> None:
    code = """if True:
        import sys, numpy as np, spatial_duck as sd
        image = sd.SpatialArray(np.zeros((2, 3)))
        np.flip(image) + 1
        assert not {"torch", "jax"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_registry_that_is_half_imported_is_asked_again() -> None:
    class Half:
        pass

    assert not frameworks._enter_collate(Half(), sd.SpatialArray)
    assert not frameworks._enter_tree(Half(), sd.SpatialArray)


# --- PyTorch ------------------------------------------------------------------------------


@pytest.fixture
def collate() -> Any:
    data = pytest.importorskip("torch.utils.data", reason="needs torch")
    image()
    return data.default_collate


@pytest.mark.library
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_samples_on_one_grid_keep_it(collate: Any, backend: str) -> None:
    one = image(coords={"channel": ("c", ["a", "b"])}, attrs={"subject": "M01"}).to(backend)
    batch = collate([{"image": one, "label": 1}, {"image": one, "label": 2}])["image"]
    assert batch.dims == (None, "c", "z", "y", "x")
    assert type(batch.data).__module__ == "torch"
    assert batch.geometry[0] == one.geometry
    assert list(batch.coords["channel"]) == ["a", "b"]
    assert batch.attrs == one.attrs
    assert np.array_equal(np.asarray(batch[1]), VALUES)


@pytest.mark.library
def test_samples_of_several_places_claim_none(collate: Any) -> None:
    batch = collate([image()[:, :2], image()[:, 2:]])
    assert batch.shape == (2, 2, 2, 5, 6)
    assert batch.lost == {2: "default_collate", 3: "default_collate", 4: "default_collate"}
    assert np.array_equal(np.asarray(batch.data[1]), VALUES[:, 2:])


@pytest.mark.library
@pytest.mark.filterwarnings("ignore:os.fork")  # JAX's, if another test has imported it
def test_workers_take_images(collate: Any) -> None:
    from torch.utils.data import DataLoader

    (batch,) = DataLoader([image(), image()], batch_size=2, num_workers=1)
    assert batch.geometry[0] == image().geometry
    assert np.array_equal(np.asarray(batch[0]), VALUES)


# --- JAX ----------------------------------------------------------------------------------


@pytest.fixture
def jax() -> Any:
    library = pytest.importorskip("jax", reason="needs jax")
    image()
    return library


@pytest.mark.library
def test_jit_keeps_place_and_all_that_is_carried(jax: Any) -> None:
    some = image(coords={"channel": ("c", ["a", "b"])}, attrs={"subject": "M01"})
    traced = []

    @jax.jit
    def flipped(x: Any) -> Any:
        traced.append(x.geometry)
        return np.flip(x, "z") * 2

    for _ in range(2):
        found = flipped(some)
    assert traced == [some.geometry]  # the second call compiles nothing
    assert found.geometry == np.flip(some, "z").geometry
    assert list(found.coords["channel"]) == ["a", "b"]
    assert found.attrs == some.attrs
    assert np.allclose(np.asarray(found), 2 * VALUES[:, ::-1])
    flipped(some.replace(spacing=5))
    flipped(some.replace(attrs={"subject": "M02"}))
    flipped(some.replace(coords={"channel": ("c", ["a", "c"])}))
    assert len(traced) == 4


@pytest.mark.library
def test_gradients_lie_where_the_image_does(jax: Any) -> None:
    found = jax.grad(lambda x: (x**2).sum())(image())
    assert found.geometry == image().geometry
    assert np.allclose(np.asarray(found), 2 * VALUES)


@pytest.mark.library
@pytest.mark.parametrize("axis", [0, 1, 3])
def test_vmap_takes_an_axis_out_and_puts_one_in(jax: Any, axis: int) -> None:
    some = image(coords={"channel": ("c", ["a", "b"])})
    inside = []

    def double(x: Any) -> Any:
        inside.append(x)
        return x * 2

    found = jax.vmap(double, in_axes=axis, out_axes=axis)(some)
    assert inside[0].dims == tuple([d for i, d in enumerate(some.dims) if i != axis])
    assert np.allclose(np.asarray(found), 2 * VALUES)
    for a, name in enumerate(some.dims):
        if a != axis and name != "c":
            assert (name in found.dims) == (name in inside[0].dims)
    if axis == 0:
        assert found.geometry[0] == some.geometry[0]
        assert "channel" not in inside[0].coords
    else:
        lost = some.dims[axis]
        assert found.lost == {lost: "vmap"}  # where that axis was is not known inside
        assert list(found.coords["channel"]) == ["a", "b"]


@pytest.mark.library
def test_no_place_is_claimed_where_axes_cannot_be_told_apart(jax: Any) -> None:
    cube = sd.SpatialArray(np.zeros((3, 3, 3), "f4"), spacing=(1, 2, 3))
    inside = []
    found = jax.vmap(lambda x: inside.append(x.dims) or x, in_axes=1)(cube)
    assert inside == [("z", "x")]  # the tracer tells
    assert set(found.lost.values()) == {"vmap"}
    assert jax.tree_util.tree_map(lambda x: x[:2], cube).lost == dict.fromkeys(range(3), "vmap")


@pytest.mark.library
def test_leaves_that_are_no_arrays(jax: Any) -> None:
    leaves, tree = jax.tree_util.tree_flatten(image())
    assert len(leaves) == 1
    assert jax.tree_util.tree_unflatten(tree, [None]).data is None
    assert jax.tree_util.tree_structure(image()) == tree
    assert hash(tree) == hash(jax.tree_util.tree_structure(image()))
