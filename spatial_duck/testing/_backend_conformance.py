"""Check a backend: its arrays must answer as NumPy's do, lazily where they are lazy.

A subclass of `BackendConformance` in a test file is one test for each thing that an image asks of
its data; `BackendConformance.report` runs the same outside pytest. Values are compared on cubes,
whose equal lengths hide no error, and on empty arrays.
"""

from __future__ import annotations

import pickle
import random
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray

from spatial_duck import backends, resampling
from spatial_duck.array import SpatialArray
from spatial_duck.backends import Backend
from spatial_duck.geometry import Geometry
from spatial_duck.testing._assertions import assert_lazy
from spatial_duck.testing._suite import Suite

__all__ = ["BackendConformance"]

CUBE = np.arange(27.0).reshape(3, 3, 3)

#: Keys of integers, slices, new axes and an Ellipsis.
BASIC_KEYS: tuple[Any, ...] = (
    np.s_[0], np.s_[-1], np.s_[1:], np.s_[::-1], np.s_[..., ::-2], np.s_[5:-9:-2], np.s_[-9:2],
    np.s_[1:3, None, 2, ::-1], np.s_[None, ..., 0], np.s_[3:0:-2, ..., None], np.s_[1, 2, 0],
    np.s_[0:0:-1], np.s_[::-1, ..., 0, ::-1], np.s_[3:3], np.s_[...], np.s_[()],
    np.s_[:, np.int64(1)], np.s_[-4::-1],
)  # fmt: skip
#: Keys with lists, ranges, arrays and masks.
ARRAY_KEYS: tuple[Any, ...] = (
    np.s_[0, :, [0, 1, 2]], np.s_[:, 0, [2, 1, 0]], np.s_[[0, 1, 2], :, 0], np.s_[[2, 0, 1]],
    np.s_[[0, 1, 2], [2, 1, 0]], np.s_[:, [0, 1, 2], [2, 1, 0]], np.s_[[0, 1, 2], :, [2, 1, 0]],
    np.s_[[0, 1, 2], ..., [2, 1, 0]], np.s_[[0, 1], None, :, [1, 2]], np.s_[..., [1]],
    np.s_[[[0, 1], [2, 0]]], np.s_[:, [[0], [2]], [0, 1, 2]], np.s_[[-1, -3], ::-1],
    np.s_[np.array([True, False, True])], np.s_[:, np.array([True, False, True]), 0],
    np.s_[CUBE > 7], np.s_[CUBE[0] > 3], np.s_[..., np.zeros(3, bool)], np.s_[[]],
    np.s_[range(2)], np.s_[range(2), ::-1, np.array([1, 2])], np.s_[np.array(2)],
    np.s_[np.ix_([0, 2], [1, 0], [2, 1])], np.s_[::-1, [0, 2], ::2], np.s_[0, ..., [2, 0]],
)  # fmt: skip
#: Keys that do not fit.
WRONG_KEYS: tuple[Any, ...] = (
    np.s_[3], np.s_[-4], np.s_[:, 7], np.s_[0, 0, 0, 0], np.s_[[0, 3]], np.s_[np.zeros(4, bool)],
    np.s_[[0, 1], [0, 1, 2]], np.s_["x"], np.s_[1.0],
)  # fmt: skip

#: Functions that every backend runs, and their arguments after the array.
NEEDED: tuple[tuple[Any, tuple[Any, ...], dict[str, Any]], ...] = (
    (np.add, (1,), {}), (np.multiply, (2.0,), {}), (np.sqrt, (), {}), (np.less, (3.0,), {}),
    (np.flip, (0,), {}), (np.transpose, ((2, 0, 1),), {}), (np.moveaxis, (0, 2), {}),
    (np.squeeze, (), {}), (np.expand_dims, (1,), {}), (np.reshape, ((9, 3),), {}),
    (np.sum, (), {"axis": 1}), (np.mean, (), {"axis": (0, 2)}), (np.max, (), {}),
    (np.max, (), {"axis": 0, "keepdims": True}), (np.roll, (1,), {"axis": 2}),
    (np.clip, (3, 9), {}), (np.broadcast_to, ((2, 3, 3, 3),), {}), (np.zeros_like, (), {}),
)  # fmt: skip
#: Functions that a backend may refuse with a TypeError.
OFFERED: tuple[tuple[Any, tuple[Any, ...], dict[str, Any]], ...] = (
    (np.cumsum, (1,), {}), (np.diff, (), {"axis": 1}), (np.rot90, (), {"axes": (0, 2)}),
    (np.pad, (1,), {}), (np.repeat, (2,), {"axis": 0}), (np.tile, ((2, 1, 1),), {}),
    (np.median, (), {"axis": 0}), (np.argmax, (), {"axis": 2}), (np.round, (), {}),
    (np.std, (), {"axis": 1, "ddof": 1}), (np.take, ([2, 0],), {"axis": 1}), (np.ptp, (), {}),
    (np.ravel, (), {}), (np.swapaxes, (0, 2), {}), (np.percentile, (30,), {"axis": 0}),
    (np.trim_zeros, (), {}), (np.add.reduce, (1,), {}), (np.add.accumulate, (0,), {}),
)  # fmt: skip


class BackendConformance(Suite):
    """Base of test classes for a backend: each method is a test.

    Subclass it in a test file, give it the backend, and name the subclass ``Test...``. What a
    backend may refuse is skipped where it does.

    Attributes
    ----------
    backend : Backend
        What is checked.
    dtypes : sequence of str
        Types of value that its arrays have.
    target : str or None
        The name for ``image.to``, if it is not the backend's.

    Examples
    --------
    >>> from spatial_duck.backends import backend_of
    >>> class TestNumPy(BackendConformance):
    ...     backend = backend_of(np.zeros(1))
    >>> TestNumPy.report().ok
    True
    """

    level = "backend"
    backend: ClassVar[Backend]
    dtypes: ClassVar[Sequence[str]] = ("bool", "uint8", "int16", "int64", "float32", "float64")
    target: ClassVar[str | None] = None

    def make(self, array: NDArray[Any]) -> Any:
        """Return the values of a NumPy array in one of the backend; `Backend.take` by default."""
        return self.backend.take(array)

    # --- what is compared ---------------------------------------------------------------------

    def _adopted(self, array: NDArray[Any]) -> Any:
        return backends.adopt(self.make(array))

    def _check_found(self, data: Any) -> None:
        found = backends.backend_of(data)
        assert found is self.backend, (
            f"the backend of {type(data).__name__} is {found!r}, not the object that this suite "
            "names: give `backend` the very object that was given to `register`"
        )

    def _values(self, data: Any) -> Any:
        """Return the values of what came, on the host."""
        if isinstance(data, list | tuple):
            return [self._values(d) for d in data]
        if not backends.is_known(type(data)) or isinstance(data, np.generic):
            return data
        return np.asarray(backends.to(data, "numpy"))

    def _lazily(self) -> Any:
        return assert_lazy() if self.backend.lazy else nullcontext()

    def _check(self, found: Any, wanted: Any, what: str) -> None:
        values = self._values(found)
        if not isinstance(wanted, list | tuple):
            assert np.shape(values) == np.shape(wanted), (
                f"{what}: NumPy gives shape {np.shape(wanted)}, got {np.shape(values)}"
            )
        narrow = self.dtypes[-1] == "float32"  # JAX has nothing wider unless told to
        np.testing.assert_allclose(values, wanted, rtol=1e-6 if narrow else 1e-12, err_msg=what)

    def _check_key(self, data: Any, array: NDArray[Any], key: Any) -> None:
        with self._lazily():
            found = backends.index(data, key)
        self._check(found, array[key], f"data[{key!r}]")

    # --- the data -----------------------------------------------------------------------------

    def test_found_by_type(self) -> None:
        """The backend is the one that is found for its arrays."""
        data = self._adopted(CUBE)
        self._check_found(data)
        assert backends.is_lazy(data) == self.backend.lazy

    def test_values_come_back(self) -> None:
        """Values, type and shape come back, of every type and also empty."""
        for dtype in self.dtypes:
            for shape in ((3, 3, 3), (4,), (2, 0, 3)):
                array = (np.arange(np.prod(shape)) % 2).astype(dtype).reshape(shape)
                data = self._adopted(array)
                assert tuple(data.shape) == shape, f"shape {data.shape} of {shape}"
                assert backends.host_type(data.dtype) == array.dtype
                assert backends.itemsize(data) == array.dtype.itemsize
                values = self._values(backends.compute(data))
                assert values.dtype == array.dtype
                np.testing.assert_array_equal(values, array)

    def test_computed_is_in_memory(self) -> None:
        """`compute` gives an array that is not lazy."""
        assert not backends.is_lazy(backends.compute(self._adopted(CUBE)))

    def test_device(self) -> None:
        """`device` and `to_device` of the same one do nothing."""
        data = self._adopted(CUBE)
        with self._lazily():
            same = backends.to_device(data, backends.device(data))
        self._check(same, CUBE, "to_device")

    def test_types(self) -> None:
        """`astype` gives the values in another type."""
        with self._lazily():
            found = backends.astype(self._adopted(CUBE), self.dtypes[-2])
        assert backends.host_type(found.dtype) == np.dtype(self.dtypes[-2])
        self._check(found, CUBE, "astype")

    def test_chunks_cover_the_array(self) -> None:
        """`chunks` is None, or sums to the shape."""
        chunks = backends.chunks(self._adopted(CUBE))
        assert chunks is None or tuple(map(sum, chunks)) == CUBE.shape

    def test_empty_block(self) -> None:
        """`empty_block` has no voxels, and the kind, type and axes of a computed block."""
        data = self._adopted(CUBE)
        with self._lazily():
            block = backends.empty_block(data)
        assert block.ndim == 3
        assert 0 in block.shape
        assert type(block) is type(backends.compute(data))
        assert block.dtype == data.dtype

    def test_read(self) -> None:
        """`read` gives a box on the host."""
        box = (slice(1, 3), slice(0, 2), slice(2, 3))
        found = backends.read(self._adopted(CUBE), box)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, CUBE[box])

    def test_identity_is_of_the_data(self) -> None:
        """Dask names the same array alike each time, and two with other values apart."""
        try:
            from dask.base import tokenize
        except ImportError as error:
            raise SkipTest("needs dask") from error
        one, other = self._adopted(CUBE), self._adopted(CUBE + 1)
        token = tokenize(backends.identity(one))
        assert token == tokenize(backends.identity(one))
        assert token != tokenize(backends.identity(other))

    def test_copies_share_nothing(self) -> None:
        """Writing into a copy leaves the array as it was."""
        data = self._adopted(CUBE.copy())
        self._written(backends.copy(data), np.s_[0], 99.0)
        self._check(data, CUBE, "after its copy was written")

    # --- keys ---------------------------------------------------------------------------------

    def test_basic_keys(self) -> None:
        """Integers, slices, new axes and an Ellipsis select what they select in NumPy."""
        data = self._adopted(CUBE)
        for key in BASIC_KEYS:
            self._check_key(data, CUBE, key)

    def test_array_keys(self) -> None:
        """Lists, ranges, arrays and masks select what NumPy's keys do, axes in its order."""
        data = self._adopted(CUBE)
        for key in ARRAY_KEYS:
            self._check_key(data, CUBE, key)

    def test_any_key(self) -> None:
        """Keys put together at random select what they select in NumPy."""
        draw = random.Random(0)
        parts = [*range(-3, 3), *BASIC_KEYS[2:7:2], slice(None), slice(None), None, ...,
                 [0, 1, 2], [2, 0, 1], [1], np.array([[0], [2], [1]]),
                 np.array([True, True, False])]  # fmt: skip
        data = self._adopted(CUBE)
        for _ in range(60):
            key: tuple[Any, ...] = tuple(draw.choices(parts, k=draw.randint(1, 4)))
            try:
                CUBE[key]
            except IndexError:
                continue
            self._check_key(data, CUBE, key)

    def test_keys_that_do_not_fit(self) -> None:
        """They are an IndexError, as in NumPy, before anything is computed."""
        data = self._adopted(CUBE)
        for key in WRONG_KEYS:
            try:
                with self._lazily():
                    found = backends.index(data, key)
            except (IndexError, TypeError, ValueError, KeyError):
                continue
            raise AssertionError(f"data[{key!r}] gives {type(found).__name__}, not an IndexError")

    def test_empty_arrays_are_indexed(self) -> None:
        """Keys select from arrays without voxels too."""
        array = np.zeros((2, 0, 3))
        data = self._adopted(array)
        keys: tuple[Any, ...] = (
            0,
            np.s_[:, ::-1],
            np.s_[..., [0, 2]],
            np.s_[:, []],
            np.s_[None, 1:],
        )
        for key in keys:
            self._check_key(data, array, key)

    def _written(self, data: Any, key: Any, value: Any) -> None:
        try:
            backends.assign(data, key, value)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise SkipTest(f"cannot be written: {error}") from error

    def test_assignment(self) -> None:
        """Values assigned through a key are written where NumPy writes them."""
        keys: Any = (np.s_[0], np.s_[:, ::-1], np.s_[..., 2:0:-1], np.s_[1, :, 0], np.s_[:, 1:, -1])
        for key in keys:
            wanted, data = CUBE.copy(), self._adopted(CUBE.copy())
            value = -1.0 - np.arange(wanted[key].size, dtype=float).reshape(wanted[key].shape)
            wanted[key] = value
            self._written(data, key, value)
            self._check(data, wanted, f"data[{key!r}] = ...")

    # --- functions ----------------------------------------------------------------------------

    def test_functions(self) -> None:
        """NumPy's functions give NumPy's values, and lazy data stay lazy."""
        data = self._adopted(CUBE)
        for function, args, options in NEEDED:
            with self._lazily():
                found = backends.call(function, (data, *args), options)
            self._check(found, function(CUBE, *args, **options), function.__name__)

    def test_functions_of_several_arrays(self) -> None:
        """Arrays in a list, in two arguments and beside a NumPy scalar are all found."""
        data = self._adopted(CUBE)
        with self._lazily():
            joined = backends.call(np.concatenate, ([data, data],), {"axis": 1})
            stacked = backends.call(np.stack, ([data, data],), {"axis": -1})
            added = backends.call(np.add, (data, data), {})
            scaled = backends.call(np.multiply, (np.float64(2), data), {})
        self._check(joined, np.concatenate([CUBE, CUBE], axis=1), "concatenate")
        self._check(stacked, np.stack([CUBE, CUBE], axis=-1), "stack")
        self._check(added, CUBE + CUBE, "add")
        self._check(scaled, 2 * CUBE, "multiply")

    def test_functions_run_or_are_refused(self) -> None:
        """Other functions give NumPy's values, or are a TypeError."""
        data = self._adopted(CUBE)
        for function, args, options in OFFERED:
            try:
                with self._lazily():
                    found = backends.call(function, (data, *args), options)
            except TypeError:
                continue
            self._check(found, function(CUBE, *args, **options), function.__name__)

    # --- images -------------------------------------------------------------------------------

    def _image(self) -> SpatialArray:
        geometry = Geometry(CUBE.shape, (3, 2, 1), (1, 2, 3), frame="LPS", unit="mm")
        return SpatialArray(self.make(CUBE), geometry)

    def test_voxels_keep_their_place(self) -> None:
        """An image's slices, flips and transposes are images in their place."""
        image = self._image()

        def moved(image: Any) -> Any:
            return np.flip(image[1:, ::-1], 2).T[..., 0]

        with self._lazily():
            found = moved(image)
        wanted = moved(SpatialArray(CUBE, image.geometry))
        assert found.geometry == wanted.geometry
        self._check(found.data, wanted.data, "a chain of moves")

    def test_operators(self) -> None:
        """Operators of images do what NumPy's do, with numbers, arrays in place and each other."""
        image, numpy = self._image(), SpatialArray(CUBE, self._image().geometry)
        operations: tuple[Callable[[Any], Any], ...] = (
            lambda x: 2 * x + x - x / 4, lambda x: x > 3, lambda x: x == 4, lambda x: -x,
        )  # fmt: skip
        for operate in operations:
            with self._lazily():
                found = operate(image)
            wanted = operate(numpy)
            assert found.geometry == wanted.geometry
            self._check(found.data, wanted.data, "operators")

    def test_to_and_back(self) -> None:
        """``image.to(name)`` brings NumPy's data here, and ``.to("numpy")`` back."""
        image = SpatialArray(CUBE, spacing=2.0)
        try:
            there = image.to(self.target or self.backend.name)
        except (TypeError, ValueError) as error:
            raise SkipTest(f"nothing is brought here: {error}") from error
        self._check_found(there.data)
        back = there.to("numpy")
        assert type(back.data) is np.ndarray
        assert back.geometry == image.geometry
        np.testing.assert_array_equal(back.data, CUBE)

    def test_resample(self) -> None:
        """`resample` gives the values that it gives of NumPy's array, on this backend."""
        image = self._image()
        wanted = resampling.resample(SpatialArray(CUBE, image.geometry), spacing=1.5)
        try:
            with self._lazily():
                found = resampling.resample(image, spacing=1.5)
        except TypeError as error:
            raise SkipTest(f"is not resampled: {error}") from error
        assert found.geometry == wanted.geometry
        values = self._values(found.data)
        np.testing.assert_allclose(values, wanted.data, atol=1e-6 * np.ptp(CUBE))

    def test_write(self) -> None:
        """`write` writes the image, and `read` gives it back in its place."""
        from spatial_duck.io import read, write

        image = self._image()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.mha"
            try:
                write(path, image)
            except TypeError as error:
                raise SkipTest(f"is not written from where it is: {error}") from error
            back = read(path)
            assert back.geometry.isclose(image.geometry.replace(dims=back.dims))
            np.testing.assert_array_equal(np.asarray(back), CUBE)

    def test_pickle(self) -> None:
        """An image goes to another process and comes back."""
        image = self._image()
        try:
            again = pickle.loads(pickle.dumps(image))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise SkipTest(f"cannot be pickled: {error}") from error
        assert again.geometry == image.geometry
        self._check(again.data, CUBE, "after pickling")
