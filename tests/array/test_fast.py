"""The short ways and the general way give the same answer, whatever is asked."""

from __future__ import annotations

import operator
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spatial_duck import SpatialArray
from spatial_duck.array import _fast as fast
from spatial_duck.array._methods import ArrayMethods
from spatial_duck.testing import voxel_numbers
from spatial_duck.testing._operations import keys
from spatial_duck.testing._strategies import geometries, operations
from tests.effort import examples

SHORT_WAYS = ("select", "call_elementwise", "concatenate", "stack", "call_deferred")
#: The operators, of which each knows its general way.
OPERATOR_METHODS = {
    name: method.__wrapped__
    for name, method in vars(ArrayMethods).items()
    if method.__class__ is FunctionType and "operator_method" in method.__code__.co_qualname
}
MODEST = settings(max_examples=examples(60), suppress_health_check=list(HealthCheck), deadline=None)


def test_all_short_ways_are_tried() -> None:
    assert set(SHORT_WAYS) == set(fast.__all__) - {"run", "operator_method"}
    assert {"__add__", "__eq__", "__mul__"} <= set(OPERATOR_METHODS)


def both_ways(call: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Return what a call gives by the short ways, and by the general way."""
    short = _answer(call)
    with monkeypatch.context() as patch:
        for name in SHORT_WAYS:
            patch.setattr(fast, name, lambda *_: NotImplemented)
        for name, general in OPERATOR_METHODS.items():
            patch.setattr(ArrayMethods, name, general)
        return short, _answer(call)


def _answer(call: Any) -> Any:
    try:
        return call()
    except Exception as error:  # of both ways the same
        return error


def assert_same(short: Any, general: Any) -> None:
    assert type(short) is type(general)
    if isinstance(short, Exception):
        return
    if isinstance(short, list | tuple):
        for s, g in zip(short, general, strict=True):
            assert_same(s, g)
        return
    if not isinstance(short, SpatialArray):
        np.testing.assert_array_equal(short, general)
        return
    np.testing.assert_array_equal(short.data, general.data)
    assert short.data.dtype == general.data.dtype
    assert type(short.data) is type(general.data)
    assert short.geometry == general.geometry
    assert short.geometry.lost == general.geometry.lost
    assert short.attrs == general.attrs
    assert short.coords.keys() == general.coords.keys()
    for name in short.coords:
        np.testing.assert_array_equal(short.coords[name], general.coords[name])


@st.composite
def images(draw: Any) -> SpatialArray:
    """Draw an image with or without attrs and a coordinate."""
    geometry = draw(geometries())
    data = voxel_numbers(geometry.shape).astype(draw(st.sampled_from(("f8", "i4", ">f4", "c8"))))
    image = SpatialArray(data, geometry, attrs=draw(st.sampled_from((None, {"a": 1}))))
    if geometry.dims and geometry.dims[0] and draw(st.booleans()):
        labels = np.arange(geometry.shape[0]) * 1.5
        image = image.replace(coords={"label": (geometry.dims[0], labels)})
    return image


@pytest.mark.slow
@MODEST
@given(st.data())
def test_keys(data: st.DataObject) -> None:
    image = data.draw(images())
    key = data.draw(keys(image.shape, advanced=data.draw(st.booleans())))
    with pytest.MonkeyPatch.context() as patch:
        assert_same(*both_ways(lambda: image[key], patch))


@pytest.mark.slow
@MODEST
@given(st.data())
def test_operations_that_move_voxels(data: st.DataObject) -> None:
    image = data.draw(images())
    operation = data.draw(operations(image.shape))
    with pytest.MonkeyPatch.context() as patch:
        assert_same(*both_ways(lambda: operation(image), patch))


UFUNCS = [np.add, np.subtract, np.less, np.equal, np.maximum, np.power, np.divmod, np.hypot]
OPERATORS = [operator.add, operator.sub, operator.mul, operator.lt, operator.eq, operator.matmul]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@MODEST
@given(st.data())
def test_elementwise(data: st.DataObject) -> None:
    image = data.draw(images())
    other = data.draw(
        st.sampled_from(
            (
                image,
                image.replace(image.data + 1),
                image.replace(attrs={"a": 1, "b": 2}),
                image.replace(origin=image.origin + 1),
                image[..., :1],
                image.data,
                image.data[..., :1],
                np.float32(2),
                np.ones((2, *image.shape)),
                3,
                2.5,
                True,
                "text",
            )
        )
    )
    function = data.draw(st.sampled_from([*UFUNCS, *OPERATORS]))
    pair = (image, other) if data.draw(st.booleans()) else (other, image)
    with pytest.MonkeyPatch.context() as patch:
        assert_same(*both_ways(lambda: function(*pair), patch))
        assert_same(*both_ways(lambda: np.negative(image), patch))


@pytest.mark.slow
@MODEST
@given(st.data())
def test_joining(data: st.DataObject) -> None:
    image = data.draw(images())
    axis = data.draw(st.integers(-1, image.ndim))
    cut = data.draw(st.integers(0, image.shape[0] if image.ndim else 0))
    pieces = data.draw(
        st.sampled_from(
            (
                [image, image],
                [image[:cut], image[cut:]] if image.ndim else [image],
                [image[cut:], image[:cut]] if image.ndim else [image],
                [image, image.data],
                [image, image.replace(origin=image.origin + 1)],
                [image],
                (image, image.replace(image.data * 2)),
            )
        )
    )
    for function in (np.concatenate, np.stack):
        with pytest.MonkeyPatch.context() as patch:
            assert_same(*both_ways(lambda f=function: f(pieces, axis), patch))
            assert_same(*both_ways(lambda f=function: f(pieces), patch))


REDUCTIONS = [np.sum, np.mean, np.max, np.argmax, np.any, np.median, np.std, np.ptp]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@MODEST
@given(st.data())
def test_reductions(data: st.DataObject) -> None:
    image = data.draw(images())
    axis = data.draw(st.none() | st.integers(-image.ndim, max(image.ndim - 1, 0)))
    keepdims = data.draw(st.booleans())
    function = data.draw(st.sampled_from(REDUCTIONS))
    with pytest.MonkeyPatch.context() as patch:
        assert_same(*both_ways(lambda: function(image, axis=axis, keepdims=keepdims), patch))
        assert_same(*both_ways(lambda: image.sum(axis), patch))
