"""One family of errors, each also a built-in one; attributes that are elsewhere say where."""

from __future__ import annotations

import re

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import errors
from spatial_duck.array._attributes import _ELSEWHERE

PARENTS = [
    (errors.GeometryError, ValueError),
    (errors.GeometryMismatchError, errors.GeometryError),
    (errors.GeometryLossError, errors.GeometryError),
    (errors.FrameError, errors.GeometryError),
    (errors.FormatError, ValueError),
    (errors.UnsafeInputError, errors.FormatError),
    (errors.TooLargeError, MemoryError),
    (errors.BlockError, RuntimeError),
]


@pytest.mark.parametrize("error, parent", PARENTS)
def test_family(error, parent):
    assert issubclass(error, errors.SpatialDuckError)
    assert issubclass(error, parent)


def test_every_error_is_one_that_callers_catch_already():
    for name in errors.__all__:
        error = getattr(errors, name)
        if isinstance(error, type) and error is not errors.SpatialDuckError:
            assert issubclass(error, errors.SpatialDuckError)
            built_in = {c for c in error.__mro__ if c.__module__ == "builtins"}
            assert built_in - {object, Exception, BaseException}, f"{name} has no built-in parent"


# --- attributes that are elsewhere ---------------------------------------------------------


@pytest.mark.parametrize("name", _ELSEWHERE)
def test_an_attribute_that_is_elsewhere_says_where(name: str) -> None:
    """What the message names is there, and the attribute is not."""
    image = sd.SpatialArray(np.zeros((3, 4)))
    with pytest.raises(AttributeError, match=f"'SpatialArray' has no '{name}': ") as error:
        getattr(image, name)
    said = str(error.value)
    named = [("spatial_duck", n) for n in re.findall(r"spatial_duck\.(\w+)", said)]
    named += [("numpy", n) for n in re.findall(r"numpy\.(\w+)", said)]
    named += [("image", n) for n in re.findall(r"image\.(\w+)", said)]
    assert named or name == "isel"
    for owner, there in named:
        assert hasattr({"spatial_duck": sd, "numpy": np, "image": image}[owner], there)


def test_other_attributes_are_missing_as_in_python() -> None:
    image = sd.SpatialArray(np.zeros((3, 4)))
    with pytest.raises(AttributeError, match="object has no attribute 'spacinng'") as error:
        _ = image.spacinng  # type: ignore[attr-defined]
    assert error.value.name == "spacinng"  # from these Python guesses what was meant
    assert error.value.obj is image
    assert not hasattr(image, "expr")
    # What a property says is not replaced.
    with pytest.raises(AttributeError, match="chunks needs data in a Dask array"):
        _ = image.chunks
    assert not hasattr(sd.SpatialArray([1.0]), "__cuda_array_interface__")


def test_what_is_given_in_the_place_of_a_geometry_is_told_how_to_give_it() -> None:
    image = sd.SpatialArray(np.zeros((3, 4)), spacing=2)
    with pytest.raises(errors.GeometryError, match=r"that of an image is image\.geometry"):
        sd.SpatialArray(image.data, image)
    with pytest.raises(errors.GeometryError, match=r"spacing=, origin= and direction= are given"):
        sd.SpatialArray(image.data, (2.0, 2.0))
