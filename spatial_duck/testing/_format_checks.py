"""The checks of a file format: what is written comes back in its place, or is refused.

Each check gets a `FormatSubject` and an empty folder. It returns where the format is right, raises
`Wrong` where it is not, and `NotOffered` where the format refuses. Needs Hypothesis.
"""

from __future__ import annotations

import itertools
import os
import pickle
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.array import SpatialArray
from spatial_duck.errors import SpatialDuckError
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io._coords import same_coords
from spatial_duck.testing._subject import NotOffered, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FORMAT_CHECKS", "FormatCheck", "FormatSubject"]

#: What a format refuses by.
REFUSALS = (SpatialDuckError, NotImplementedError)
_TYPES = (
    "?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16", "g", "G"
)  # fmt: skip


@dataclass(frozen=True)
class FormatSubject:
    """A format and how it is asked to write and read; see `FormatConformance` for the fields."""

    write: Callable[..., None]
    read: Callable[..., Any]
    suffix: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    dtype: str = "u2"
    keeps_attrs: bool = False
    held_coords: Callable[[Any], Collection[str]] = field(default=lambda _: ())
    shape: tuple[int, ...] = (3, 4, 5)
    fresh_attrs: tuple[str, ...] = ()

    def volume(self, first: int = 0, **more: Any) -> SpatialArray:
        """Return an image that each format should hold, of voxel numbers from `first` on."""
        count = int(np.prod(self.shape))
        numbers = (np.arange(first, first + count) % 251).reshape(self.shape).astype(self.dtype)
        unit = {"unit": "mm", "spacing": (2.0, 0.5, 0.75)[: len(self.shape)]}
        return SpatialArray(numbers, **{**unit, **more})

    def written(self, path: Path, image: Any = None, **more: Any) -> SpatialArray:
        """Write an image that each format should hold, and return it."""
        candidates = (
            [image] if image is not None else [self.volume(frame="LPS"), self.volume(),
                                               self.volume(origin=(0.0,) * len(self.shape))]
        )  # fmt: skip
        refusals = []
        for each in candidates:
            try:
                self.write(path, each, **self.options, **more)
            except REFUSALS as error:
                refusals.append(error)
            else:
                return each
        raise NotOffered(f"it does not write: {refusals[0]}") from refusals[0]


class FormatCheck(NamedTuple):
    """A check, with what it is called and what it wants."""

    name: str
    level: str
    wanted: str
    run: Callable[[FormatSubject, Path], None]


def _entries(folder: Path) -> list[str]:
    """Return the names in a folder, without the folder in which an interrupted write is kept."""
    return sorted(
        p.name for p in folder.iterdir() if not (p / "journal").is_file()
    )  # fmt: skip


def _values(image: Any) -> NDArray[Any]:
    return np.asarray(image)


# --- place --------------------------------------------------------------------------------


def _points(image: Any, like: Any, frame: str | None) -> dict[str, NDArray[Any]]:
    """Return coordinates of each voxel number, by world axis, in the units of `like`."""
    g = image.geometry
    # Without space axes a frame turns nothing.
    if frame not in (None, g.frame) and set(g.world.axes) & set(SPACE_AXES):
        g = g.to_frame(frame)
    units = dict(zip(like.world.axes, like.unit, strict=True))
    g = g.to_unit({n: u for n, u in units.items() if u is not None and n in g.world.axes})
    index = np.indices(image.shape).reshape(image.ndim, -1).T
    points = g.index_to_physical(index)[np.argsort(_values(image).ravel(), kind="stable")]
    return dict(zip(g.world.axes, points.T, strict=True))


def expect_same_place(back: Any, image: Any, tolerance: float) -> None:
    """Expect that every voxel of an image came back with its value and at its place."""
    if not np.array_equal(np.sort(_values(back).ravel()), np.sort(_values(image).ravel())):
        raise Wrong("other voxels came back")
    lost = {n for n in image.dims if n is not None} - set(back.dims)
    if lost:
        raise Wrong(f"the axes {sorted(lost)} of {image.dims!r} came back as {back.dims!r}")
    if image.frame is not None and back.frame is None:
        raise Wrong(f"the frame {image.frame!r} is lost")
    if image.frame is None and back.frame is not None:
        raise Wrong(f"a frame that was not given, {back.frame!r}, came back")
    units = dict(zip(image.world.axes, image.unit, strict=True))
    for name, unit in zip(back.world.axes, back.unit, strict=True):
        if units.get(name) is not None and unit is None:
            raise Wrong(f"the unit {units[name]!r} of {name!r} is lost")
    missing = set(image.world.axes) - set(back.world.axes)
    if missing:
        raise Wrong(f"the world axes {sorted(missing)} are lost")
    before, after = (_points(i, image, back.frame) for i in (image, back))
    rows = [r for r, n in enumerate(image.world.axes) if n in SPACE_AXES]
    steps = [s for s, c in zip(image.spacing, image.direction.T, strict=True) if c[rows].any()]
    for name, values in after.items():
        expected = before.get(name, 0.0)  # a world axis that the format adds is at 0
        limit = min(steps, default=1.0)
        if name == "t" and "t" in image.dims:
            limit = image.spacing[[image.dims[i] for i in image.geometry.sampled_axes].index("t")]
        off = np.max(abs(values - expected) - 1e-12 * abs(values), initial=0.0)
        if off > tolerance * limit:
            raise Wrong(
                f"a voxel came back {off:g} away along {name!r}, where a voxel is {limit:g}"
            )


def _any_place(subject: FormatSubject, folder: Path) -> None:
    import hypothesis

    from spatial_duck.testing._strategies import images

    number, written = itertools.count(), []

    @hypothesis.settings(
        max_examples=60, database=None, deadline=None, derandomize=True, print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(images(data=lambda numbers: numbers.astype(subject.dtype)))
    def tried(image: Any) -> None:
        place = folder / str(next(number))
        place.mkdir()
        path = place / f"a{subject.suffix}"
        try:
            subject.write(path, image, **subject.options)
        except REFUSALS as error:
            if left := _entries(place):
                raise Wrong(f"it refuses ({error}), and leaves {left}") from error
            return
        expect_same_place(subject.read(path), image, subject.tolerance)
        written.append(image)

    tried()
    if not written:
        raise NotOffered("it refuses all images that were tried")


def _plain_volume(subject: FormatSubject, folder: Path) -> None:
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    expect_same_place(subject.read(path), image, subject.tolerance)


def _types(subject: FormatSubject, folder: Path) -> None:
    held = []
    for code, order in itertools.product(_TYPES, ("<", ">")):
        dtype = np.dtype(order + code)
        image = subject.written(folder / f"first{subject.suffix}", overwrite=True)
        low, high = (-3, 4) if dtype.kind in "if" else (0, 2) if dtype.kind == "b" else (0, 7)
        numbers = np.arange(image.size).reshape(image.shape) % (high - low) + low
        values = numbers.astype(dtype)
        if dtype.kind in "iu":
            values.flat[:2] = np.iinfo(dtype).min, np.iinfo(dtype).max
        if dtype.kind in "fc":
            values.flat[:2] = np.nan, np.inf
        path = folder / f"{dtype.kind}{dtype.itemsize}{'lb'[order == '>']}{subject.suffix}"
        try:
            subject.write(path, image.replace(data=values), **subject.options)
        except REFUSALS:
            continue
        found = subject.read(path)
        back = _values(found.transpose([found.dims.index(n) for n in image.dims]))
        held.append(code)
        same = np.array_equal(back, values, equal_nan=dtype.kind in "fc")
        if not same or not np.can_cast(dtype, back.dtype, "safe"):
            raise Wrong(f"{dtype.str} voxels came back as {back.dtype.str}, same values: {same}")
    if not held:
        raise NotOffered("it refuses all types of numbers")


def _backends(subject: FormatSubject, folder: Path) -> None:
    expected = subject.written(folder / f"numpy{subject.suffix}")
    for name, make in (("dask", _to_dask), ("zarr", _to_zarr)):
        path = folder / f"{name}{subject.suffix}"
        try:
            data = make(_values(expected))
        except ImportError:
            continue
        subject.write(path, expected.replace(data=data), **subject.options)
        back = subject.read(path)
        if not np.array_equal(
            _values(back), _values(subject.read(folder / f"numpy{subject.suffix}"))
        ):
            raise Wrong(f"an image of {name} came back with other voxels")
    turned = SpatialArray(np.asfortranarray(_values(expected)), expected.geometry)
    turned.data.setflags(write=False)
    subject.write(folder / f"turned{subject.suffix}", turned, **subject.options)
    expect_same_place(subject.read(folder / f"turned{subject.suffix}"), expected, subject.tolerance)


def _to_dask(values: Any) -> Any:
    import dask.array as da

    return da.from_array(values, chunks=2)


def _to_zarr(values: Any) -> Any:
    import zarr

    made = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=values.shape,
        chunks=(2,) * values.ndim,
        dtype=values.dtype,
    )
    made[...] = values
    return made


# --- metadata -----------------------------------------------------------------------------


def _second_time(subject: FormatSubject, folder: Path) -> None:
    subject.written(folder / f"a{subject.suffix}")
    first = subject.read(folder / f"a{subject.suffix}")
    subject.write(folder / f"b{subject.suffix}", first, **subject.options)
    second = subject.read(folder / f"b{subject.suffix}")
    if not second.geometry.isclose(first.geometry, tolerance=subject.tolerance):
        raise Wrong("what was read and written again lies elsewhere")
    before, after = (
        {k: _without(v, subject.fresh_attrs) for k, v in each.attrs.items()}
        for each in (first, second)
    )
    if before != after:
        raise Wrong(f"attrs were {before!r} and are {after!r}")


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    return {k: v for k, v in value.items() if k not in keys} if isinstance(value, dict) else value


def _attrs(subject: FormatSubject, folder: Path) -> None:
    if not subject.keeps_attrs:
        raise NotOffered("free attrs are not kept")
    attrs = {"about": {"name": "µ", "list": [1, 2.5, None, True]}}
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    subject.write(path, image.replace(attrs=attrs), overwrite=True, **subject.options)
    back = dict(subject.read(path).attrs)
    if back != attrs:
        raise Wrong(f"attrs were {attrs!r} and are {back!r}")


def _coords(subject: FormatSubject, folder: Path) -> None:
    import hypothesis

    from spatial_duck.testing._strategies import carrying_images

    number, held = itertools.count(), set[str]()

    @hypothesis.settings(
        max_examples=40, database=None, deadline=None, derandomize=True, print_blob=False,
        suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @hypothesis.given(carrying_images(subject.dtype))
    def tried(image: Any) -> None:
        names = [n for n in subject.held_coords(image) if n in image.coords]
        image = image.replace(coords={n: image._coords[n] for n in names})
        path = folder / f"{next(number)}{subject.suffix}"
        try:
            subject.write(path, image, **subject.options)
        except REFUSALS:
            return
        expect_same_coords(subject.read(path), image)
        held.update(names)

    tried()
    if not held:
        raise NotOffered("coordinates are not kept")


def expect_same_coords(back: Any, image: Any) -> None:
    """Expect that what the axes of an image carry came back with them."""
    for name, before in image.coords.items():
        after = back.coords.get(name)
        if after is None and _in_attrs(before, back.attrs):
            continue
        if after is None:
            raise Wrong(f"the coordinate {name!r} of {before.dims!r} is lost: {before!r}")
        if None not in before.dims and after.dims != before.dims:
            raise Wrong(f"the coordinate {name!r} was along {before.dims!r}, is {after.dims!r}")
        if name == "component":  # whose order is the file's
            same = sorted(before.values.tolist()) == sorted(after.values.tolist())
        else:
            same = bool(same_coords(image, back.coords, [name]))
        if not same:
            raise Wrong(f"a coordinate was {before!r} and is {after!r}")


def _in_attrs(coordinate: Any, attrs: Mapping[str, Any]) -> bool:
    """Whether a fact that is the same for all indices is one of the whole image."""
    values = coordinate.values if coordinate.dims else coordinate.values[None]
    if len(values) == 0 or not (values == values[0]).all():
        return False
    wanted = values[0].tolist()
    facts = [v for each in attrs.values() if isinstance(each, dict) for v in each.values()]
    return any(v == wanted for v in facts)


# --- whole or not at all ------------------------------------------------------------------


def _nothing_replaced(subject: FormatSubject, folder: Path) -> None:
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    before, expected = _entries(folder), _values(subject.read(path)).copy()
    try:
        subject.write(path, image.replace(data=_values(image)[::-1].copy()), **subject.options)
    except FileExistsError:
        pass
    else:
        raise Wrong("what was there was replaced without overwrite=True")
    if not np.array_equal(_values(subject.read(path)), expected) or _entries(folder) != before:
        raise Wrong("what was there was changed by a write that was refused")
    changed = image.replace(data=_values(image)[::-1].copy())
    subject.write(path, changed, overwrite=True, **subject.options)
    expect_same_place(subject.read(path), changed, subject.tolerance)
    if len(_entries(folder)) > len(before):
        raise Wrong(f"overwriting left {_entries(folder)}, where there was {before}")


class _Hooked:
    """Voxels that call a function when they are read."""

    def __init__(self, values: NDArray[Any], hook: Callable[[], Any]) -> None:
        self.values, self.hook = values, hook
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> Any:
        self.hook()
        return self.values[key]


def _hooked(image: SpatialArray, hook: Callable[[], Any]) -> Any:
    try:
        import dask.array as da
    except ImportError as error:
        raise NotOffered("Dask is not installed: not tried") from error
    values = _values(image)
    lazy = da.from_array(
        _Hooked(values, hook),
        chunks=(1, *values.shape[1:]),
        meta=np.empty((0,) * values.ndim, values.dtype),
    )
    return image.replace(data=lazy)


class _Broken(Exception):
    """A source that cannot be read to its end."""


def _whole_or_not(subject: FormatSubject, folder: Path) -> None:
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    before, expected = _entries(folder), _values(subject.read(path)).copy()
    for target, more in ((path, {"overwrite": True}), (folder / f"b{subject.suffix}", {})):
        reads: list[int] = []

        def hook(reads: list[int] = reads) -> None:
            reads.append(1)
            if len(reads) > 1:
                raise _Broken("the source ends here")

        with suppress(_Broken):
            subject.write(target, _hooked(image, hook), **subject.options, **more)
        if not reads:
            raise Wrong("it does not read the voxels that it writes")
        if not np.array_equal(_values(subject.read(path)), expected):
            raise Wrong("a write that failed changed what was there")
        if _entries(folder) != before:
            raise Wrong(f"a write that failed left {_entries(folder)}, where there was {before}")


def _kept_meanwhile(subject: FormatSubject, folder: Path) -> None:
    other = subject.written(folder / f"b{subject.suffix}")
    path, done = folder / f"a{subject.suffix}", list[int]()

    def hook() -> None:
        if not done:
            done.append(1)
            subject.write(path, other, **subject.options)

    mine = other.replace(data=_values(other)[::-1].copy())
    try:
        subject.write(path, _hooked(mine, hook), **subject.options)
    except (FileExistsError, BlockingIOError):
        pass
    else:
        raise Wrong("what another writer made meanwhile was replaced without overwrite=True")
    if path.exists():
        expect_same_place(subject.read(path), other, subject.tolerance)


# --- reading ------------------------------------------------------------------------------


def _lazy(subject: FormatSubject, folder: Path) -> None:
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    try:
        lazy = subject.read(path, lazy=True)
    except TypeError as error:
        raise NotOffered("reading has no lazy=") from error
    if type(lazy.data) is np.ndarray and not backends.is_mapped(lazy.data):
        raise NotOffered("images are read into memory")
    expect_same_place(lazy, image, subject.tolerance)
    again = pickle.loads(pickle.dumps(lazy))
    expect_same_place(again, image, subject.tolerance)


def _replaced(subject: FormatSubject, folder: Path) -> None:
    path = folder / f"a{subject.suffix}"
    image = subject.written(path)
    expected = _values(image)
    for lazy in (True, None):
        try:
            opened = subject.read(path, lazy=lazy)
        except TypeError:
            opened = subject.read(path)
        changed = _values(image)[::-1].copy()
        subject.write(path, image.replace(data=changed), overwrite=True, **subject.options)
        try:
            got = _values(opened)
        except (*REFUSALS, OSError):
            got = None
        subject.write(path, image, overwrite=True, **subject.options)
        if got is not None and not np.array_equal(
            np.sort(got, axis=None), np.sort(expected, axis=None)
        ):
            raise Wrong("an open image gives voxels that no file ever held")
        if got is not None and not np.array_equal(got, _values(subject.read(path))):
            raise Wrong("an open image gives the voxels of the file that replaced its own")


def _threads(subject: FormatSubject, folder: Path) -> None:
    image = subject.written(folder / f"a{subject.suffix}")
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            path = folder / f"t{number}{subject.suffix}"
            subject.write(path, image, **subject.options)
            for each in (path, folder / f"a{subject.suffix}"):
                expect_same_place(subject.read(each), image, subject.tolerance)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise Wrong(f"{len(errors)} of 4 threads failed: {errors[0]!r}") from errors[0]


def _names(subject: FormatSubject, folder: Path) -> None:
    longest = 255 - len(os.fsencode(subject.suffix)) - 5  # .json, .raw and others stand beside
    for stem in ("with space", "体积", "a.b", "-", "x" * longest, "50%", "LIST", "a\nb", " a"):
        path = folder / f"{stem}{subject.suffix}"
        try:
            image = subject.written(path)
        except NotOffered as error:
            if path.exists():
                raise Wrong(f"the name {path.name!r} is refused, and there") from error
            continue
        expect_same_place(subject.read(path), image, subject.tolerance)


FORMAT_CHECKS = tuple(
    FormatCheck(name, level, wanted, run)
    for name, level, wanted, run in (
        ("a volume", "place", "a volume in mm comes back in its place", _plain_volume),
        ("any image", "place", "any image comes back in its place, or is refused", _any_place),
        ("types", "voxels", "numbers of each type come back, or are refused", _types),
        ("backends", "voxels", "lazy, read-only and Fortran-ordered voxels are written", _backends),
        ("again", "facts", "what is read is written as it is", _second_time),
        ("attrs", "facts", "free attrs come back", _attrs),
        ("coordinates", "facts", "what is said to be held of an axis comes back", _coords),
        (
            "overwrite",
            "whole",
            "nothing is replaced unasked, and all of it when asked",
            _nothing_replaced,
        ),
        ("failure", "whole", "a write that fails leaves what was there", _whole_or_not),
        ("meanwhile", "whole", "what another writer makes meanwhile is kept", _kept_meanwhile),
        ("names", "whole", "any name of a file works, or is refused", _names),
        ("lazy", "reading", "lazy images can be pickled", _lazy),
        ("replaced", "reading", "an open image is the file that was opened", _replaced),
        ("threads", "reading", "threads write and read at once", _threads),
    )
)
