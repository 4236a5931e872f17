"""What a wrapper costs on a small array: SpatialArray, NumPy and other wrappers in one run.

8×8×8 float64, so that the time is the wrapper's and not the arithmetic's. `DoNothing` wraps and
unwraps and keeps no knowledge at all: the least that NumPy's protocols let a wrapper cost. pint,
unyt and astropy carry a unit and no geometry; MetaTensor and xarray carry geometry.

A second table has a function of each family of rules. A peer is timed where NumPy's function gives
its own kind of array back. Of what we cost over NumPy, the rule's own arithmetic is timed apart:
the rest is the look-up in the table, the binding of arguments and the wrapping.

``--against FOLDER`` prints instead what is taken over NumPy by this checkout and by another one, in
processes that take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import recfunctions

from benchmarks._table import environment, measure, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._table import Timing

SHAPE = (8, 8, 8)
SPACING = (2.5, 0.7, 0.7)
ORIGIN = (-120.0, 30.5, 12.25)
#: At most this much over bare NumPy, in µs, and for those that look at where images lie.
LIMIT = 2.0
LIMITS = {"np.concatenate": 3.0, "x[1:-1, ::2], origin": 5.0}
#: Short rounds, and many: some of them fall between what else a busy machine does.
SHORT: dict[str, Any] = {"seconds": 0.0008, "rounds": 80}


class DoNothing:
    """An array in a box: unwraps, calls, wraps."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getitem__(self, key: Any) -> DoNothing:
        return DoNothing(self.data[key])

    @property
    def T(self) -> DoNothing:
        return DoNothing(self.data.T)

    def __add__(self, other: Any) -> Any:
        return np.add(self, other)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        bare = [x.data if type(x) is DoNothing else x for x in inputs]
        return DoNothing(getattr(ufunc, method)(*bare, **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return DoNothing(function(*[_bare(x) for x in args], **kwargs))


def _bare(x: Any) -> Any:
    if type(x) is DoNothing:
        return x.data
    return [_bare(y) for y in x] if type(x) is list else x


def _numpy(a: Any, b: Any) -> tuple[Any, Any]:
    return a, b


def _do_nothing(a: Any, b: Any) -> tuple[Any, Any]:
    return DoNothing(a), DoNothing(b)


def _spatial_duck(a: Any, b: Any) -> tuple[Any, Any]:
    from spatial_duck import SpatialArray

    image = SpatialArray(a, spacing=SPACING, origin=ORIGIN, unit="mm", frame="LPS")
    after = (ORIGIN[0] + SHAPE[0] * SPACING[0], *ORIGIN[1:])
    return image, SpatialArray(b, spacing=SPACING, origin=after, unit="mm", frame="LPS")


def _metatensor(a: Any, b: Any) -> tuple[Any, Any]:
    import torch
    from monai.data import MetaTensor

    torch.set_num_threads(1)
    affine = torch.diag(torch.tensor([*SPACING, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor(ORIGIN)
    after = affine.clone()
    after[0, 3] += SHAPE[0] * SPACING[0]
    return (
        MetaTensor(torch.from_numpy(a), affine=affine),
        MetaTensor(torch.from_numpy(b), affine=after),
    )


def _xarray(a: Any, b: Any) -> tuple[Any, Any]:
    import xarray

    dims = ("z", "y", "x")
    coords = {
        d: o + s * np.arange(n) for d, o, s, n in zip(dims, ORIGIN, SPACING, SHAPE, strict=True)
    }
    after = {**coords, "z": coords["z"] + SHAPE[0] * SPACING[0]}
    return (
        xarray.DataArray(a, coords=coords, dims=dims),
        xarray.DataArray(b, coords=after, dims=dims),
    )


def _pint(a: Any, b: Any) -> tuple[Any, Any]:
    import pint

    unit = pint.get_application_registry().mm
    return a * unit, b * unit


def _unyt(a: Any, b: Any) -> tuple[Any, Any]:
    import unyt

    return unyt.unyt_array(a, "mm"), unyt.unyt_array(b, "mm")


def _astropy(a: Any, b: Any) -> tuple[Any, Any]:
    from astropy import units

    return a * units.mm, b * units.mm


#: Makes two images, one right after the other along the first axis.
PEERS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "NumPy": _numpy,
    "do nothing": _do_nothing,
    "spatial_duck": _spatial_duck,
    "unyt": _unyt,
    "astropy": _astropy,
    "pint": _pint,
    "MetaTensor": _metatensor,
    "xarray": _xarray,
}
CARRY_GEOMETRY = ("MetaTensor", "xarray")

Operation = dict[str, "Callable[[Any, Any, Any], object]"]


#: What is timed; under "" for all, under a peer's name where its own spelling is another.
OPERATIONS: dict[str, Operation] = {
    "x + x": {"": lambda x, y, z: x + x},
    "x + z, made apart": {"": lambda x, y, z: x + z},
    "x[1:-1, ::2]": {"": lambda x, y, z: x[1:-1, ::2]},
    "x[2]": {"": lambda x, y, z: x[2]},
    "x.T": {
        "": lambda x, y, z: x.T,
        "MetaTensor": lambda x, y, z: x.permute(2, 1, 0),  # .T of 3-D tensors is deprecated
    },
    "np.flip(x)": {
        "": lambda x, y, z: np.flip(x),
        "MetaTensor": lambda x, y, z: x.flip(0, 1, 2),
        "xarray": lambda x, y, z: x[::-1, ::-1, ::-1],  # np.flip returns a bare array
    },
    "np.sum(x, axis=1)": {
        "": lambda x, y, z: np.sum(x, axis=1),
        "MetaTensor": lambda x, y, z: x.sum(1),
        "xarray": lambda x, y, z: x.sum("y"),
    },
    "np.pad(x, 2)": {
        "": lambda x, y, z: np.pad(x, 2),
        "MetaTensor": lambda x, y, z: _torch_pad(x),  # np.pad returns a bare array, as for xarray
        "xarray": lambda x, y, z: x.pad(z=2, y=2, x=2),
    },
    "np.concatenate": {
        "": lambda x, y, z: np.concatenate([x, y]),
        "MetaTensor": lambda x, y, z: _torch_cat(x, y),
        "xarray": lambda x, y, z: _xarray_concat(x, y),
    },
    "x[1:-1, ::2], origin": {
        "NumPy": lambda x, y, z: x[1:-1, ::2],
        "spatial_duck": lambda x, y, z: x[1:-1, ::2].origin,
        "MetaTensor": lambda x, y, z: x[1:-1, ::2].affine[:3, 3],
        "xarray": lambda x, y, z: [x[1:-1, ::2][d].values[0] for d in ("z", "y", "x")],
    },
}


def _torch_cat(x: Any, y: Any) -> object:
    return sys.modules["torch"].cat([x, y])


def _torch_pad(x: Any) -> object:
    return sys.modules["torch"].nn.functional.pad(x, (2,) * 6)


def _xarray_concat(x: Any, y: Any) -> object:
    return sys.modules["xarray"].concat([x, y], "z")


def images(peer: str) -> tuple[Any, Any, Any]:
    """Return a peer's x, the y right after it, and a z in the place of x (or ImportError)."""
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, y = PEERS[peer](rng.random(SHAPE), rng.random(SHAPE))
        z, _ = PEERS[peer](rng.random(SHAPE), rng.random(SHAPE))
        return x, y, z


def case(operation: str, peer: str, made: tuple[Any, Any, Any]) -> Callable[[], object] | None:
    """Return the call to time, or None where the peer has no such thing."""
    spellings = OPERATIONS[operation]
    function = spellings.get(peer, spellings.get(""))
    if function is None:
        return None
    return lambda: function(*made)


@cache
def _values(kind: str) -> Any:
    return np.full(SHAPE, "ab") if kind == "text" else np.zeros(SHAPE, "i4,f8")


#: Of each family of rules a function, and its arguments; "text" and "fields" stand for arrays of
#: such values in the place of x.
FAMILIES: dict[str, tuple[Callable[..., Any], Callable[[Any, Any, Any], tuple[Any, ...]]]] = {
    "elementwise": (np.clip, lambda x, y, z: (x, 0.2, 0.8)),
    "moves": (np.moveaxis, lambda x, y, z: (x, 0, 2)),
    "joining": (np.stack, lambda x, y, z: ([x, z],)),
    "reductions": (np.mean, lambda x, y, z: (x, 1)),
    "neighbours": (np.diff, lambda x, y, z: (x,)),
    "linear": (np.trace, lambda x, y, z: (x,)),
    "matrices": (np.linalg.inv, lambda x, y, z: (x,)),
    "fft": (np.fft.fft, lambda x, y, z: (x,)),
    "values": (np.unique, lambda x, y, z: (x,)),
    "inplace": (np.copyto, lambda x, y, z: (x, z)),
    "creation": (np.zeros_like, lambda x, y, z: (x,)),
    "queries": (np.array_equal, lambda x, y, z: (x, z)),
    "polynomials": (
        np.polynomial.polynomial.polyval2d, lambda x, y, z: (x, z, np.ones((2, 2)))
    ),
    "text": (np.strings.upper, lambda x, y, z: (_holding(x, "text"),)),
    "records": (recfunctions.repack_fields, lambda x, y, z: (_holding(x, "fields"),)),
}  # fmt: skip


def _holding(x: Any, kind: str) -> Any:
    """Return an array like x with other values: for ourselves and NumPy alone."""
    if isinstance(x, np.ndarray) and type(x) is not np.ndarray:
        raise TypeError("units have no such values")
    if type(x) is np.ndarray:
        return _values(kind)
    if type(x) is DoNothing:
        return DoNothing(_values(kind))
    if hasattr(x, "replace"):
        return x.replace(_values(kind))
    raise TypeError("no such values")


def family_case(name: str, peer: str, made: tuple[Any, Any, Any]) -> Callable[[], object] | None:
    """Return the call to time, or None where a peer refuses it or gives another kind of array."""
    function, arguments = FAMILIES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            args = arguments(*made)
            found = function(*args)
        except Exception:  # whatever a library refuses by
            return None
    found = found[0] if isinstance(found, tuple) else found
    bare = hasattr(found, "shape") and np.shape(found) and type(found) is np.ndarray
    if bare and peer not in ("NumPy", "do nothing"):
        return None
    return lambda: function(*args)


def rule_case(name: str, made: tuple[Any, Any, Any]) -> Callable[[], object]:
    """Return the rule's own work; nothing where it waits until the geometry is asked for."""
    from spatial_duck import rules

    function, arguments = FAMILIES[name]
    rule = rules.find(function)
    if rule.deferrable:
        return lambda: None
    args = arguments(*made)
    grids = [_grid(a) for a in args]
    if not callable(rule.geometry(*grids)):
        return lambda: rule.geometry(*grids)
    # What looks at the result as well.
    data = args[0].data
    found = function(data)
    return lambda: rule.geometry(*grids)(found, data)


def _grid(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_grid(a) for a in argument]
    return getattr(argument, "geometry", argument)


def families() -> dict[str, dict[str, Timing]]:
    """Time a function of each family, of all peers that offer it, and the rule alone."""
    made = {}
    for peer in PEERS:
        try:
            made[peer] = images(peer)
        except ImportError:
            continue
    times = {}
    for name in FAMILIES:
        calls = {peer: family_case(name, peer, three) for peer, three in made.items()}
        found = {p: c for p, c in calls.items() if c is not None}
        calls = {**found, "rule": rule_case(name, made["spatial_duck"])}
        times[name] = measure(calls, **SHORT)
    return times


def chained(image: Any, length: int) -> Any:
    """Slice many times, and ask where the result lies."""
    for _ in range(length):
        image = image[:, ::-1]
    return image.origin


class WrapperSuite:
    params = (list(OPERATIONS), list(PEERS))
    param_names = ("operation", "peer")

    def setup(self, operation: str, peer: str) -> None:
        try:
            call = case(operation, peer, images(peer))
        except ImportError as error:
            raise NotImplementedError(f"{peer} is not installed") from error
        if call is None:
            raise NotImplementedError(f"{peer} has no {operation}")
        self.call = call

    def time_operation(self, operation: str, peer: str) -> None:
        self.call()


def compare() -> tuple[dict[str, dict[str, Timing]], list[str]]:
    """Time all operations of all peers that are installed; return the times and what is not."""
    made, missing = {}, []
    for peer in PEERS:
        try:
            made[peer] = images(peer)
        except ImportError:
            missing.append(peer)
    times = {}
    for operation in OPERATIONS:
        calls = {peer: case(operation, peer, three) for peer, three in made.items()}
        times[operation] = measure({p: c for p, c in calls.items() if c is not None}, **SHORT)
    return times, missing


def print_families() -> None:
    """Print what each family of functions costs."""
    times = families()
    peers = [p for p in PEERS if any(p in row for row in times.values())]
    rows = []
    for name, row in times.items():
        ours, numpy, rule = row["spatial_duck"], row["NumPy"], row["rule"]
        cells = [f"{1e6 * row[p].best:.2f}" if p in row else "-" for p in peers]
        over = 1e6 * (ours.best - numpy.best)
        spread = 1e6 * ((ours.median - ours.best) + (numpy.median - numpy.best))
        rest = over - 1e6 * rule.best
        function = FAMILIES[name][0].__name__
        rows.append(
            [f"{name}: {function}", *cells, f"{over:+.2f}", f"{1e6 * rule.best:.2f}",
             f"{rest:+.2f}", f"{LIMIT:.1f}", f"{spread:.2f}"]
        )  # fmt: skip
    header = [
        "family", *peers, "over NumPy", "its rule", "the rest", "wanted", "best to median",
    ]  # fmt: skip
    print(
        render("A function of each family of rules, best of interleaved rounds in µs", header, rows)
    )


# --- two checkouts ------------------------------------------------------------------------


def _own_times() -> dict[str, tuple[float, float]]:
    """Return the best µs of NumPy and of this package for each call."""
    made = {peer: images(peer) for peer in ("NumPy", "spatial_duck")}
    calls = {name: {p: case(name, p, m) for p, m in made.items()} for name in OPERATIONS}
    for name, (function, _) in FAMILIES.items():
        calls[f"np.{function.__name__}"] = {p: family_case(name, p, m) for p, m in made.items()}
    found = {}
    for name, row in calls.items():
        both = measure({p: c for p, c in row.items() if c is not None}, seconds=0.0005, rounds=30)
        found[name] = (1e6 * both["NumPy"].best, 1e6 * both["spatial_duck"].best)
    return found


def against(other: Path, turns: int) -> None:
    """Print what this checkout and another take over NumPy, the best of some turns each."""
    best: dict[Path, dict[str, list[float]]] = {}
    here = Path(__file__).resolve().parent.parent
    for _ in range(turns):
        for root in (other.resolve(), here):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, "--own"], cwd=root, check=True,
                env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True,
            )  # fmt: skip
            known = best.setdefault(root, {})
            for name, pair in json.loads(done.stdout).items():
                known[name] = list(map(min, pair, known.get(name, pair)))
    rows = []
    for name in next(iter(best.values())):
        over = [times[name][1] - times[name][0] for times in best.values()]
        rows.append([name, f"{best[here][name][0]:.2f}", *[f"{t:+.2f}" for t in over]])
    print(render(f"µs over NumPy, the best of {turns} processes each",
                 ["", "NumPy", other.name, "this checkout"], rows))  # fmt: skip
    print(environment(["numpy"]))


def main() -> None:
    warnings.simplefilter("ignore")
    times, missing = compare()
    peers = [p for p in PEERS if p not in missing]
    rows, ratios = [], []
    for operation, row in times.items():
        over, over_median = (
            1e6 * (ours - numpy)
            for ours, numpy in zip(row["spatial_duck"], row["NumPy"], strict=True)
        )
        limit = LIMITS.get(operation, LIMIT)
        cells = [f"{1e6 * row[p].best:.2f}" if p in row else "-" for p in peers]
        rows.append([operation, *cells, f"{over:+.2f}", f"{over_median:+.2f}", f"{limit:.1f}"])
        ratio = {p: t.best / row["spatial_duck"].best for p, t in row.items()}
        ratios.append([operation, *[f"{ratio[p]:.2f}" if p in ratio else "-" for p in peers]])
    title = f"Best of interleaved rounds in µs, {'×'.join(map(str, SHAPE))} float64"
    header = ["operation", *peers, "ours over NumPy", "(median)", "wanted"]
    print(render(title, header, rows))
    print()
    print(render("Time as a multiple of spatial_duck's", ["operation", *peers], ratios))
    print()
    if not set(missing) >= set(CARRY_GEOMETRY):
        print(
            "MetaTensor and xarray: where NumPy's function would drop geometry, their own is timed"
        )
    for peer in missing:
        print(f"{peer}: not installed, left out")
    print()
    print_families()
    print()
    image = images("spatial_duck")[0]
    lengths = (1, 10, 100, 1_000)
    chains = measure(
        {str(n): lambda n=n: chained(image, n) for n in lengths}, seconds=0.01, rounds=9
    )
    cells = [[f"{n:,}", f"{1e6 * chains[str(n)].best / n:.2f}"] for n in lengths]
    print(
        render("Slices one after the other, then the origin: µs a slice", ["slices", "each"], cells)
    )
    print(environment(["numpy", "monai", "torch", "pint", "unyt", "astropy", "xarray"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path, help="the folder of another checkout")
    parser.add_argument("--turns", type=int, default=8, help="processes of each checkout")
    parser.add_argument("--own", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.own:
        print(json.dumps(_own_times()))
    elif given.against:
        against(given.against, given.turns)
    else:
        main()
