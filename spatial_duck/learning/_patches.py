"""Patches for training: each is one read and one interpolation, wherever the images are.

A patch is a small grid in the world. Its spacing, its orientation and a random transform about its
centre make one grid, which every image of a case is asked for, on whatever grid it lies itself; of
a stored image only the chunks around it are read. What patch number i is follows from the seed, the
epoch and i alone, so that any number of workers, and a run that starts again, see the same ones.
"""

from __future__ import annotations

import inspect
import math
import operator
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._config import current
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.blocks._sliding import check_overlap
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._points import space_axes
from spatial_duck.geometry._quantity import has_unit
from spatial_duck.geometry._validation import is_whole
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io import read
from spatial_duck.learning._augmentation import (
    is_mask,
    label_interpolation,
    random_affine,
    random_elastic,
)
from spatial_duck.learning._drawing import DrawnVoxels, box_in_world, grid_map
from spatial_duck.resampling import resample, target_grid
from spatial_duck.resampling._api import entries_per_axis, per_axis, resample_stored
from spatial_duck.resampling._chunk_reader import ChunkReader
from spatial_duck.resampling._chunk_tasks import edges_of
from spatial_duck.resampling._physical import reorient
from spatial_duck.transforms import Composite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry
    from spatial_duck.transforms import Transform

__all__ = ["Patches", "patches"]

#: Cells of this many patches along each axis: those in one cell follow each other.
_CELL = 2
#: How much larger than a patch its box in a stored image may be, for it to be kept: it is turned,
#: and begins and ends within chunks.
_SLACK = 3.0


def patches(
    images: Sequence[Any],
    size: Any,
    *,
    spacing: Any = None,
    orientation: str | None = None,
    count: int = 1,
    overlap: float | None = None,
    labels: Sequence[str | int] | None = None,
    balance: str | int | None = None,
    weights: str | int | None = None,
    augment: Mapping[str, Any] | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
    seed: int = 0,
) -> Patches:
    """Cut patches for training out of images in memory, in files or in stores.

    Parameters
    ----------
    images : sequence
        The cases. Each is an image, a path, a tuple of an image and its labels, or a mapping of
        names to these. The images of a case may lie on grids of their own; the first one says
        where patches may lie. Paths are opened lazily, by each process for itself.
    size : int, length, or sequence or mapping of these
        Size of a patch along each axis: voxels, or a length with a unit such as ``"48 mm"``. One
        stands for all space axes. Other axes are taken whole.
    spacing : float, sequence or mapping, optional
        Spacing of the patches, as for `resample`; by default that of the first image.
    orientation : str, optional
        Where the axes of the patches run to, such as ``"RAS"``.
    count : int, optional
        Patches of each case in an epoch, where they lie at random.
    overlap : float, optional
        Cover each case with patches that share this part of their size at least, from 0 up to but
        not including 1, instead of drawing them at random.
    labels : sequence of str or int, optional
        Names, or positions in the tuple, of images whose values are never mixed. By default all but
        the first of a tuple. In a mapping, images of integers beside the first may be labels or
        not: they are to be named, or ``labels=[]`` given for none. Images of bool, and that of
        `balance`, always are labels.
    balance : str or int, optional
        Name or position of a label image: a patch lies around a voxel of one of its values, each
        value that it has within the first image being drawn as often as the others.
    weights : str or int, optional
        Name or position of an image of weights of 0 or more, by which the voxel is drawn, within
        the first image, that a patch lies around.
    augment : mapping, optional
        Options of `random_affine`, about the centre of the patch, and under ``"elastic"`` those of
        `random_elastic`.
    interpolation : str, optional
        Of images, as for `resample`.
    fill : scalar, optional
        Value of voxels outside an image; labels have 0 there.
    seed : int, optional
        The same seed gives the same patches.

    Returns
    -------
    Patches
        A sequence that is iterated over too, and that PyTorch's DataLoader takes.

    Raises
    ------
    GeometryError
        If a size is not valid; when a case is opened, if an image of it lies nowhere in the first.
    ValueError
        If other options are not valid, or contradict each other.

    Examples
    --------
    >>> image = SpatialArray(np.arange(600.0).reshape(20, 30), spacing=2.0)
    >>> cut = patches([(image, image > 300)], 8, count=3)
    >>> len(cut), [part.shape for part in cut[0]], cut[0][0].spacing
    (3, [(8, 8), (8, 8)], array([2., 2.]))
    """
    one = isinstance(images, SpatialArray | str | Mapping) or hasattr(images, "ndim")
    if one or not hasattr(images, "__len__"):
        raise TypeError(
            f"patches needs a sequence of cases, such as [image] or [(image, labels), ...], got "
            f"{type(images).__name__}"
        )
    if not is_whole(count, 1):
        raise ValueError(f"count must be a whole number of 1 or more, got {count!r}")
    if overlap is not None:
        check_overlap(overlap)
    chosen = {"overlap": overlap, "balance": balance, "weights": weights}
    given = [name for name, value in chosen.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"give one of overlap=, balance= and weights=, got {' and '.join(given)}")
    if not (isinstance(seed, Integral) and is_whole(seed, 0)):
        raise ValueError(f"seed must be a whole number of 0 or more, got {seed!r}")
    names = {name for case in images for name in _parts(case)}
    if not all(map(_parts, images)):
        raise ValueError("a case must hold an image at least, got an empty one")
    if labels is not None:
        labels = [labels] if isinstance(labels, str | Integral) else list(labels)
        unknown = [name for name in labels if name not in names]
        if unknown and names:
            raise ValueError(f"labels: no case has an image {unknown[0]!r}; they have {names!r}")
    options = _Options(
        size, spacing, orientation, int(count), overlap, labels, balance, weights,
        None if augment is None else _augmentation(augment), interpolation, fill, int(seed),
    )  # fmt: skip
    return Patches(list(images), options)


def _augmentation(given: Any) -> dict[str, Any]:
    """Return the options of random transforms, or raise for those that there are not."""
    known = [*_keywords(random_affine), "elastic"]
    if not isinstance(given, Mapping):
        raise TypeError(
            f"augment must be a mapping such as {{'rotation': 10}}, of {', '.join(known)}, got "
            f"{given!r}"
        )
    elastic, waves = given.get("elastic"), _keywords(random_elastic)
    by_name = elastic is None or isinstance(elastic, Mapping)
    for options, names in ((given, known), (elastic if by_name else None, waves)):
        for name in options or ():
            if name not in names:
                raise ValueError(f"augment has options {', '.join(names)}, got {name!r}")
    if not by_name or (elastic is not None and len(elastic) < len(waves)):
        raise TypeError(
            f"augment: elastic must be a mapping with {' and '.join(waves)}, such as "
            f"{{'displacement': 3, 'control': 30}}, got {elastic!r}"
        )
    # Iterators would be empty from the second patch on.
    return {**given, "flip": tuple(given.get("flip", ()))}


def _keywords(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


@dataclass(frozen=True, slots=True)
class _Options:
    """Arguments of `patches`."""

    size: Any
    spacing: Any
    orientation: str | None
    count: int
    overlap: float | None
    labels: Sequence[str | int] | None
    balance: str | int | None
    weights: str | int | None
    augment: dict[str, Any] | None
    interpolation: str | None
    fill: Any
    seed: int


class _Case(NamedTuple):
    """A case that has been opened.

    Attributes
    ----------
    images : dict
        Images by name, or by position in the tuple.
    grid : Geometry
        Geometry of the patches, over the whole of the first image: space axes alone.
    size : tuple of int
        Size of a patch, in voxels of that grid.
    starts : list of list of int
        Where patches begin along each axis, where they cover the case; else nothing.
    labels : frozenset
        Names of those of the images whose values are never mixed.
    """

    images: dict[Any, SpatialArray]
    grid: Geometry
    size: tuple[int, ...]
    starts: list[list[int]]
    labels: frozenset[Any]

    @property
    def chunked(self) -> dict[Any, SpatialArray]:
        """Those of the images whose chunks are read when they are asked for."""
        return {
            name: image for name, image in self.images.items()
            if backends.is_lazy(image.data) and backends.is_on_host(image.data)
            and not any(n != n for n in image.shape)
        }  # fmt: skip

    @property
    def covers(self) -> int:
        """How many patches cover the case."""
        return math.prod([len(line) for line in self.starts])


class Patches(Sequence[Any]):
    """Patches of an epoch: ``patches(...)`` makes them.

    Notes
    -----
    An entry is what the cases are: an image, or a tuple or dict of these, on NumPy's arrays and in
    their place. Their attrs tell the number of the case, and the ``transform`` by which they were
    augmented.

    By index, patches come in the order of the cases. Iteration goes through the cases at random,
    and through a case from one end to the other, so that chunks that were read are used again; in
    the workers of a PyTorch DataLoader each takes every so many. Chunks of the case that was last
    asked for are kept, ``config(max_kept_bytes=...)`` of them.
    """

    def __init__(self, cases: list[Any], options: _Options, epoch: int = 0) -> None:
        self._cases = cases
        self._options = options
        self._epoch = epoch
        self._opened: dict[int, _Case] = {}
        self._drawn: dict[int, DrawnVoxels] = {}
        self._starts: dict[int, list[list[int]]] = {}
        self._readers: tuple[int, dict[Any, ChunkReader]] = (-1, {})
        self._ends: list[int] | None = None

    @property
    def epoch(self) -> int:
        """Which epoch it is; `at_epoch` gives the patches of another."""
        return self._epoch

    def at_epoch(self, epoch: int) -> Patches:
        """Return the patches of another epoch of the same cases."""
        if not is_whole(epoch, 0):
            raise ValueError(f"epoch must be a whole number of 0 or more, got {epoch!r}")
        other = Patches(self._cases, self._options, int(epoch))
        other._opened, other._drawn, other._ends = self._opened, self._drawn, self._ends
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # What was opened is opened again by the process that gets this.
        return Patches, (self._cases, self._options, self.epoch)

    def __repr__(self) -> str:
        return f"<Patches of {len(self._cases)} cases, epoch {self.epoch}>"

    def __len__(self) -> int:
        return self._counts()[-1] if self._cases else 0

    def _counts(self) -> list[int]:
        if self._ends is None:
            if self._options.overlap is None:
                each = [self._options.count] * len(self._cases)
            else:
                each = [self._case(k).covers for k in range(len(self._cases))]
            self._ends = np.cumsum(each).tolist()
        return self._ends

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index, n = operator.index(index), len(self)
        if not -n <= index < n:
            raise IndexError(f"there are {n} patches, got the index {index}")
        index %= n
        k = int(np.searchsorted(self._counts(), index, side="right"))
        first = self._counts()[k - 1] if k else 0
        return self._patch(k, index - first)

    def __iter__(self) -> Iterator[Any]:
        order = np.random.default_rng([self._options.seed, self.epoch])
        own, workers = _worker()
        number = 0
        for k in order.permutation(len(self._cases)).tolist():
            first = self._counts()[k - 1] if k else 0
            total = self._counts()[k] - first
            if not any((number + i) % workers == own for i in range(min(total, workers))):
                number += total  # nothing of the case is for this worker: it is not opened
                continue
            for i in self._by_place(k, total):
                if number % workers == own:
                    yield self._patch(k, i)
                number += 1

    def _by_place(self, k: int, total: int) -> list[int]:
        """Return the numbers of a case's patches in the order in which little is read twice.

        Columns of the case are gone through along its longest axis, each so narrow that what
        patches at one position along that axis need may be kept.
        """
        case = self._case(k)
        starts = np.array([self._start(k, i) for i in range(total)])
        long = int(np.argmax(case.grid.shape))
        columns = starts // _column(case, long)
        columns[:, long] = 0
        steps = starts // (_CELL * np.array(case.size))
        order = [long, *[a for a in range(len(case.size)) if a != long]]
        keys = [*columns.T, *[steps[:, a] for a in order], *[starts[:, a] for a in order]]
        return np.lexsort(keys[::-1]).tolist()  # type: ignore[no-any-return]

    def _case(self, k: int) -> _Case:
        if k not in self._opened:
            self._opened[k] = _opened(self._cases[k], self._options)
        return self._opened[k]

    def _start(self, k: int, i: int) -> list[int]:
        """Return where patch i of a case begins on the case's grid."""
        case, options = self._case(k), self._options
        if case.starts:
            index = np.unravel_index(i, [len(line) for line in case.starts])
            return [line[int(p)] for line, p in zip(case.starts, index, strict=True)]
        if k not in self._starts:
            draws = [np.random.default_rng([options.seed, self.epoch, k, j])
                     for j in range(options.count)]  # fmt: skip
            self._starts[k] = self._draw_starts(k, draws)
        return self._starts[k][i]

    def _draw_starts(self, k: int, draws: list[np.random.Generator]) -> list[list[int]]:
        case, options = self._case(k), self._options
        room = [n - s for n, s in zip(case.grid.shape, case.size, strict=True)]
        name = options.balance if options.weights is None else options.weights
        if name is None:
            return [[_anywhere(r, rng) for r in room] for rng in draws]
        if k not in self._drawn:
            source = _named(case.images, name)
            self._drawn[k] = DrawnVoxels(
                source, _space(source.geometry), case.grid, by_value=options.weights is None
            )
        wanted = np.rint(self._drawn[k].indices(draws)).astype(int) - np.array(case.size) // 2
        return [
            [min(max(w, 0), r) if r > 0 else r // 2 for w, r in zip(row, room, strict=True)]
            for row in wanted.tolist()
        ]

    def _reader(self, k: int, name: Any) -> ChunkReader | None:
        """Return what reads an image of a case, and keeps chunks while the case is asked for."""
        if self._readers[0] != k:
            chunked = self._case(k).chunked
            kept = current().max_kept_bytes / max(len(chunked), 1)
            self._readers = (
                k,
                {
                    name: ChunkReader(image.data, edges_of(backends.chunks(image.data) or ()), kept)
                    for name, image in chunked.items()
                },
            )
        return self._readers[1].get(name)

    def _patch(self, k: int, i: int) -> Any:
        case, options = self._case(k), self._options
        grid = _window(case.grid, self._start(k, i), case.size)
        transform = None
        if options.augment is not None:
            rng = np.random.default_rng([options.seed, self.epoch, k, i, 1])
            transform = _transform(grid, options.augment, rng)
        found = {}
        for name, image in case.images.items():
            is_label = name in case.labels
            how: dict[str, Any] = {
                "transform": transform, "fill": 0 if is_label else options.fill,
                "interpolation": label_interpolation(image) if is_label else options.interpolation,
            }  # fmt: skip
            reader = self._reader(k, name)
            cut = (
                resample(image, grid, **how).compute() if reader is None
                else resample_stored(image, grid, reader.box, **how)
            )  # fmt: skip
            found[name] = cut.replace(
                attrs={**image.attrs, "case": k}
                | ({} if transform is None else {"transform": transform})
            )
        given = self._cases[k]
        if isinstance(given, Mapping):
            return found
        return tuple(found.values()) if isinstance(given, tuple | list) else found[0]


def _column(case: _Case, long: int) -> NDArray[np.intp]:
    """Return how wide columns along an axis may be in which chunks are kept, in voxels."""
    size = np.array(case.size)
    room = np.maximum(np.array(case.grid.shape) - size, 0) + 1
    stored = sum([image.nbytes for image in case.chunked.values()])
    each = stored / max(math.prod(case.grid.shape), 1)
    window = current().max_kept_bytes / max(each * _SLACK * size[long], 1e-9)
    counts = np.ones(len(size), int)
    while True:
        width = -(-room // counts)
        others = [a for a in range(len(size)) if a != long]
        if math.prod((width + size)[others]) <= window or (width[others] <= size[others]).all():
            break
        counts[max(others, key=lambda a: width[a])] += 1
    found: NDArray[np.intp] = width
    return found


def _worker() -> tuple[int, int]:
    """Return the number of this worker of a DataLoader, and how many there are."""
    torch = sys.modules.get("torch")
    info = None if torch is None else torch.utils.data.get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def _parts(case: Any) -> dict[Any, Any]:
    """Return the images of a case as they were given, by name or place."""
    if isinstance(case, Mapping):
        return dict(case)
    return dict(enumerate(case)) if isinstance(case, tuple | list) else {0: case}


def _named(images: Mapping[Any, SpatialArray], name: Any) -> SpatialArray:
    if name not in images:
        raise ValueError(f"a case has no image {name!r}; it has {list(images)!r}")
    return images[name]


# --- grids --------------------------------------------------------------------------------


def _opened(given: Any, options: _Options) -> _Case:
    images = {}
    for name, part in _parts(given).items():
        is_path = isinstance(part, str) or hasattr(part, "__fspath__")
        image = read(part, lazy=True) if is_path else part
        images[name] = as_image(image, "patches", "images")
    first = next(iter(images.values()))
    turned = first if options.orientation is None else reorient(first, options.orientation)
    grid = _space(turned.geometry)
    if options.spacing is not None:
        grid = target_grid(grid, spacing=options.spacing)
    size = _voxels(options.size, grid)
    for name, image in images.items():
        _check_together(name, image, grid)
    starts = []
    if options.overlap is not None:
        starts = [_cover(n, s, options.overlap) for n, s in zip(grid.shape, size, strict=True)]
    return _Case(images, grid, size, starts, _find_labels(given, images, options))


def _find_labels(
    given: Any, images: Mapping[Any, SpatialArray], options: _Options
) -> frozenset[Any]:
    """Return the names of the images of a case whose values are never mixed."""
    found = {name for name, image in images.items() if is_mask(image) or name == options.balance}
    others = [name for name in list(images)[1:] if name not in found]
    if options.labels is not None:
        found.update(options.labels)
    elif not isinstance(given, Mapping):
        found.update(others)
    else:
        kinds = {name: backends.host_type(images[name].dtype).kind for name in others}
        doubtful = [name for name, kind in kinds.items() if kind in "iu"]
        if doubtful:
            raise ValueError(
                f"patches: the images {doubtful!r} of a case hold integers, and may be labels or "
                f"not: give labels={doubtful!r}, or labels=[] where none are, got None"
            )
    return frozenset(found)


def _check_together(name: Any, image: SpatialArray, grid: Geometry) -> None:
    """Check that some of an image of a case lies where the first one does.

    Raises
    ------
    GeometryError
        If all of it lies elsewhere, or it has no voxels.
    """
    if any(n != n for n in image.shape):  # of Dask, that only computing tells
        return
    space = _space(image.geometry)
    if 0 in space.shape:
        raise GeometryError(
            f"patches needs images with voxels, and got the image {name!r} of a case of shape "
            f"{image.shape}"
        )
    ends = np.array([*product(*[(-0.5, n - 0.5) for n in space.shape])])
    try:
        found = grid_map(space, grid)(ends)
    except GeometryError as error:  # worlds that have nothing in common
        raise type(error)(f"patches, the image {name!r} of a case and the first: {error}") from None
    limits = np.array(grid.shape) - 0.5
    if (found.max(0) < -0.5).any() or (found.min(0) > limits).any():
        raise GeometryError(
            f"patches: the image {name!r} of a case shares no place with the first one: it reaches "
            f"over {box_in_world(space)}, and the first over {box_in_world(grid)}; are their "
            "origins, frames and units right?"
        )


def _space(geometry: Geometry) -> Geometry:
    """Return a geometry without its axes that are not of space."""
    names = [name for name in geometry.world.axes if name in SPACE_AXES]
    space = space_axes(geometry)
    if not space:
        raise GeometryError(f"patches need an axis of space, and the image has none: {geometry!r}")
    key = tuple([slice(None) if axis in space else 0 for axis in range(geometry.ndim)])
    return geometry[key].to_world(names)


def _voxels(size: Any, grid: Geometry) -> tuple[int, ...]:
    """Return the size of a patch along each axis."""
    entries, found = entries_per_axis("size", size, grid), per_axis("size", size, grid)
    sizes = []
    for n, entry, value, step in zip(
        grid.shape, entries, found, grid.spacing.tolist(), strict=True
    ):
        voxels = n if value is None else np.rint(value / step) if has_unit(entry) else value
        if not is_whole(voxels, 1):
            raise GeometryError(
                f"size must be voxels, or lengths with a unit such as '48 mm' of one voxel or "
                f"more, got {size!r}"
            )
        sizes.append(int(voxels))
    return tuple(sizes)


def _cover(n: int, size: int, overlap: float) -> list[int]:
    """Return where patches begin that cover an axis."""
    room = n - size
    if room <= 0:
        return [room // 2]
    step = max(size * (1 - overlap), 1.0)
    return np.rint(np.linspace(0, room, math.ceil(room / step) + 1)).astype(int).tolist()  # type: ignore[no-any-return]


def _anywhere(room: int, rng: np.random.Generator) -> int:
    """Return a start within an axis; a patch that is larger lies about its middle."""
    return int(rng.integers(0, room + 1)) if room > 0 else room // 2


def _window(grid: Geometry, start: Sequence[int], size: Sequence[int]) -> Geometry:
    """Return a part of a grid that goes on beyond its ends."""
    ends = [
        (max(-first, 0), max(first + n - length, 0))
        for first, n, length in zip(start, size, grid.shape, strict=True)
    ]
    key = [
        slice(first + before, first + before + n)
        for first, n, (before, _) in zip(start, size, ends, strict=True)
    ]
    return grid.pad(ends)[tuple(key)]


def _transform(grid: Geometry, augment: Mapping[str, Any], rng: np.random.Generator) -> Transform:
    options = dict(augment)
    elastic = options.pop("elastic", None)
    found: Transform = random_affine(grid, rng, **options)
    return found if elastic is None else Composite(random_elastic(grid, rng, **elastic), found)
