"""NumPy's protocols as NumPy's own tests of overrides try them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray, rules
from tests.rules.calls import OVERRIDABLE


class Stranger:
    """An array of a library that nobody knows, which answers for itself or leaves it to others."""

    def __init__(self, answer: Any = NotImplemented) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        self.asked.append(func)
        return self.answer

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        self.asked.append(ufunc)
        return self.answer


def image() -> SpatialArray:
    return SpatialArray(np.arange(6.0).reshape(2, 3), spacing=(2.0, 0.5), origin=(1, 2))


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: np.concatenate([a, b]),
        lambda a, b: np.dot(a, b),
        lambda a, b: np.where(a, b, 0),
        lambda a, b: np.add(a, b),
        lambda a, b: np.add(b, a),
        lambda a, b: np.multiply.outer(a, b),
        lambda a, b: np.add.reduce(a, 0, None, None, False, 0, b),
        lambda a, b: np.sum(a, 0, out=b),
        lambda a, b: np.add(a, 1, out=b),
    ],
)
def test_strangers_are_asked_and_else_refused(call: Any) -> None:
    knows = Stranger("mine")
    assert call(image(), knows) == "mine"
    assert knows.asked
    with pytest.raises(TypeError, match=r"no implementation found|all returned NotImplemented"):
        call(image(), Stranger())


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "lt", "eq", "matmul"])
def test_operators_leave_it_to_strangers(name: str) -> None:
    import operator

    class Reflects(Stranger):
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rmatmul__ = lambda _, __: "reflected"
        __gt__ = lambda _, __: "reflected"  # noqa: E731
        __eq__ = lambda _, __: "reflected"  # type: ignore[assignment]  # noqa: E731
        __hash__ = None  # type: ignore[assignment]

    assert getattr(operator, name)(image(), Reflects()) == "reflected"


def test_a_subclass_goes_through_and_its_kind_comes_back() -> None:
    class Labels(SpatialArray):
        pass

    labels = Labels(np.arange(6).reshape(2, 3), spacing=2.0)
    for found in (
        labels + 1,
        np.flip(labels),
        labels[:1],
        np.concatenate([labels[:1], labels[1:]]),
    ):
        assert type(found) is Labels
    both = np.add(image(), SpatialArray(np.ones((2, 3)), image().geometry))
    assert type(both) is SpatialArray


@pytest.mark.parametrize("name", ["sum", "flip", "concatenate", "mean", "take", "argsort"])
def test_wrong_arguments_are_type_errors_as_of_numpy(name: str) -> None:
    function = getattr(np, name)
    for call in (
        lambda: function(),
        lambda: function(image(), nonsense=1),
        lambda: function(image(), 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("name", ["take", "repeat", "compress", "put", "partition", "dot"])
def test_methods_name_the_arguments_that_are_missing(name: str) -> None:
    with pytest.raises(TypeError, match="missing"):
        getattr(image(), name)()


def test_functions_do_not_change_their_arguments() -> None:
    pieces = [image(), image()[:1]]
    with pytest.raises(Exception, match="begin where"):
        np.concatenate(pieces)
    assert [p.shape for p in pieces] == [(2, 3), (1, 3)]
    keywords = {"axis": 0}
    np.sum(image(), **keywords)
    assert keywords == {"axis": 0}


def test_like_is_asked_of_an_image_and_of_a_stranger() -> None:
    made = np.asarray([1.0, 2.0], like=image())
    assert isinstance(made, SpatialArray)
    assert not made.geometry.sampled_axes
    assert np.asarray([1.0], like=Stranger("mine")) == "mine"


def test_every_function_is_documented_where_its_rule_is_written() -> None:
    for function in OVERRIDABLE:
        rule = rules.find(function)
        if rule is not None:
            assert inspect.getsourcefile(rule.source)
            assert rule.source.__module__.startswith("spatial_duck.rules._")
