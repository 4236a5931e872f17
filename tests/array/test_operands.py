"""Every operator with every kind of operand: what ndarray answers, by value, type and place."""

from __future__ import annotations

import operator
import sys
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import SpatialArray
from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = np.array([[1.0, 2.0, 4.0], [3.0, 6.0, 5.0]])
NUMBERS = [[1, 2, 3], [4, 5, 6]]

ARITHMETIC = (
    "add sub mul truediv floordiv mod pow lshift rshift and_ or_ xor lt le gt ge eq ne matmul"
).split()
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in ARITHMETIC},
    "divmod": divmod,
}


def _hdf5(tmp: Path) -> Any:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    return h5py.File(tmp / "numbers.h5", "w").create_dataset("a", data=np.array(NUMBERS))


def _picture(_: Path) -> Any:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    return image.fromarray(np.array(NUMBERS, "uint8"))


class Interface:
    """An array-like of the oldest kind: a description of memory."""

    def __init__(self) -> None:
        self.array = np.array(NUMBERS)
        self.__array_interface__ = self.array.__array_interface__


class Converts:
    """An array-like that converts itself."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(NUMBERS, dtype)


KINDS: dict[str, Callable[[Path], Any]] = {
    "int": lambda _: 3,
    "float": lambda _: 2.5,
    "complex": lambda _: 1 + 2j,
    "bool": lambda _: True,
    "large int": lambda _: 2**70,
    "numpy scalar": lambda _: np.int16(2),
    "0-d array": lambda _: np.array(2.0),
    "list": lambda _: NUMBERS,
    "ragged list": lambda _: [[1], [2, 3]],
    "tuple": lambda _: (1, 2, 3),
    "range": lambda _: range(3),
    "memoryview": lambda _: memoryview(np.array([1.0, 2.0, 3.0])),
    "bytearray": lambda _: bytearray([1, 2, 3]),
    "array": lambda _: np.array(NUMBERS),
    "row": lambda _: np.array([1, 2, 3]),
    "other shape": lambda _: np.ones((4, 5)),
    "object array": lambda _: np.array(NUMBERS, object),
    "big-endian": lambda _: np.array(NUMBERS, ">i4"),
    "masked": lambda _: np.ma.MaskedArray(NUMBERS, [[True, False, False], [False, False, True]]),
    "text array": lambda _: np.full((2, 3), "ab"),
    "dates": lambda _: np.full((2, 3), "2020-01-01", "datetime64[D]"),
    "hdf5": _hdf5,
    "picture": _picture,
    "interface": lambda _: Interface(),
    "converts": lambda _: Converts(),
    "text": lambda _: "text",
    "bytes": lambda _: b"text",
    "None": lambda _: None,
    "Fraction": lambda _: Fraction(1, 3),
    "Decimal": lambda _: Decimal("0.5"),
    "dict": lambda _: {"a": 1},
    "set": lambda _: {1},
    "object": lambda _: object(),
    "Ellipsis": lambda _: ...,
    "type": lambda _: float,
}

#: Where the answer is another one by design: a refusal that says what to do.
REFUSED = {
    ("text", "mod"): "on the left, a text formats: Python asks it first",
    ("bytes", "mod"): "on the left, a text formats: Python asks it first",
}


#: What NumPy answers without asking an image that stands on the right: a masked array takes the
#: bare values, and what cannot be equal is unequal.
ALONE = {"masked", "text array", "dates"}


def _answer(call: Callable[[], Any]) -> Any:
    """Return the values of an answer, or the kind of the error."""
    try:
        found = call()
    except Exception as error:  # whatever it is
        return error
    return found


def _values(found: Any) -> Any:
    if isinstance(found, tuple):
        return tuple([_values(f) for f in found])
    return found.data if isinstance(found, SpatialArray) else found


def _check(got: Any, wanted: Any, image: SpatialArray, alone: bool = False) -> None:
    if isinstance(wanted, Exception):
        assert isinstance(got, Exception), f"NumPy refuses ({wanted!r}), got {got!r}"
        assert isinstance(got, TypeError | ValueError | SpatialDuckError | type(wanted)), f"{got!r}"
        assert "internal error" not in str(got)
        return
    if isinstance(got, Exception):
        raise AssertionError(f"NumPy gives {wanted!r}") from got
    for g, w in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, wanted)), strict=True):
        values = _values(g)
        if isinstance(w, bool | bytearray):  # the operand's own answer
            assert values == w
            continue
        assert type(values) is type(w), f"{type(w)} of NumPy's, got {type(values)}"
        assert values.dtype == w.dtype
        np.testing.assert_array_equal(values, w)
        if values.shape == image.shape and not alone:
            assert isinstance(g, SpatialArray)
            assert g.geometry == image.geometry


@pytest.fixture
def image() -> SpatialArray:
    return SpatialArray(VALUES.copy(), spacing=(2.0, 0.5), origin=(1.0, -3.0), unit="mm")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("back", [False, True], ids=["image first", "image second"])
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_operators_are_those_of_ndarray(
    name: str, back: bool, dtype: str, image: SpatialArray, tmp_path: Path
) -> None:
    function = OPERATORS[name]
    wrong = []
    for kind, make in KINDS.items():
        if back and (kind, name) in REFUSED:
            continue
        if back and kind in ("bytearray", "memoryview") and sys.version_info < (3, 12):
            continue  # they look for a buffer, which classes give from Python 3.12 on
        array = VALUES.astype(dtype)
        mine = image.replace(array.copy())
        try:
            operand = make(tmp_path)
        except pytest.skip.Exception:
            continue
        pairs = [(x, operand)[:: -1 if back else 1] for x in (mine, array)]
        got, wanted = (_answer(lambda p=p: function(*p)) for p in pairs)
        if kind == "hdf5":
            operand.file.close()
        try:
            _check(got, wanted, mine, alone=back and kind in ALONE)
        except AssertionError as error:
            wrong.append(f"{kind}: {error}; {error.__cause__!r}")
    assert not wrong, "\n".join(wrong)


IN_PLACE = ("iadd isub imul itruediv ifloordiv imod ipow ilshift irshift iand ior ixor").split()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_operators_in_place_are_those_of_ndarray(
    name: str, dtype: str, image: SpatialArray, tmp_path: Path
) -> None:
    function = getattr(operator, name)
    wrong = []
    for kind, make in KINDS.items():
        array = VALUES.astype(dtype)
        held = array.copy()
        mine = image.replace(held)
        try:
            operand = make(tmp_path)
        except pytest.skip.Exception:
            continue
        got, wanted = (_answer(lambda x=x, o=operand: function(x, o)) for x in (mine, array))
        if kind == "hdf5":
            operand.file.close()
        try:
            _check(got, wanted, mine)
            np.testing.assert_array_equal(held, array)
            assert isinstance(got, Exception) or got is mine
        except AssertionError as error:
            wrong.append(f"{kind}: {error}; {error.__cause__!r}")
    assert not wrong, "\n".join(wrong)


def test_images_that_share_a_geometry_multiply_as_matrices() -> None:
    """The geometry that is shared is not that of the product."""
    square = SpatialArray(np.arange(9.0).reshape(3, 3), spacing=2.0)
    product = square @ square
    np.testing.assert_array_equal(product.data, square.data @ square.data)
    assert product.geometry == np.matmul(square, square).geometry
    assert product.lost
    quotient, rest = divmod(square, square + 1)
    assert quotient.geometry == rest.geometry == square.geometry


@pytest.mark.parametrize("name", ["mul", "pow"])
def test_matrices_with_operators_of_their_own_are_refused(name: str, image: SpatialArray) -> None:
    matrix = np.asarray(NUMBERS).view(np.matrix)
    with pytest.raises(TypeError, match=r"np\.matrix.*numpy\.asarray"):
        getattr(operator, name)(image, matrix)
    assert type((image + matrix).data) is np.ndarray


def test_an_image_of_another_library_is_not_taken_for_bare_values(image: SpatialArray) -> None:
    class Placed:
        affine = np.eye(3)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return VALUES

    with pytest.raises(TypeError, match=r"spatial_duck\.asarray"):
        image + Placed()


def test_arrays_with_units_and_names_have_their_say(image: SpatialArray) -> None:
    pint = pytest.importorskip("pint", reason="needs pint")
    xarray = pytest.importorskip("xarray", reason="needs xarray")
    length = pint.UnitRegistry().Quantity(2.0, "mm")
    for found in (image * length, length * image):
        assert isinstance(found, pint.Quantity)
        assert found.magnitude.geometry == image.geometry
    named = xarray.DataArray(image, dims=("y", "x"))
    for named_sum in (image + named, named + image):
        assert isinstance(named_sum, xarray.DataArray)
        assert named_sum.data.geometry == image.geometry


@pytest.mark.parametrize("other", ["text", b"text", None, {}, object()])
def test_what_cannot_be_equal_is_unequal_everywhere(backend: Any, other: Any) -> None:
    image = SpatialArray(backend.make(VALUES), spacing=(2.0, 0.5))
    if backend.kind == "array_api_strict" and not isinstance(other, str | bytes):
        pytest.skip("array_api_strict compares with arrays and numbers alone")
    for found, wanted in ((image == other, False), (image != other, True)):
        assert isinstance(found, SpatialArray)
        assert found.geometry == image.geometry
        values = backend.to_numpy(found.compute().data)
        assert values.dtype == bool
        assert (values == wanted).all()
