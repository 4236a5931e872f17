"""One family of errors, each also the built-in error that a caller expects."""

from __future__ import annotations

import pytest

from spatial_duck import errors

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


def test_missing_extra_says_what_to_install():
    error = errors.missing_extra("zarr", "zarr", "Reading a store")
    assert isinstance(error, ImportError)
    assert error.name == "zarr"
    assert "pip install 'spatial-duck[zarr]'" in str(error)
    assert str(error).startswith("Reading a store needs 'zarr'")
