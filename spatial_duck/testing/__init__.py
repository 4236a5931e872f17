"""Tests for images that know where they are: checks of a class, strategies, oracles, assertions.

`check` reports what an image class does right, what it does wrong (with the smallest example) and
what it does not offer; `Conformance` makes tests of the same, `FormatConformance` tests a file
format, `BackendConformance` a backend and `EngineConformance` an engine of registration.
`spatial_duck.interface` says what is wanted. Everything here is public, and the project's own tests
use it. Needs NumPy and, for the checks and `strategies`, Hypothesis; `stores` needs zarr.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spatial_duck.testing._assertions import (
        assert_geometry_equal,
        assert_lazy,
        assert_no_host_copy,
        assert_same_place,
    )
    from spatial_duck.testing._backend_conformance import BackendConformance
    from spatial_duck.testing._conformance import Conformance, check
    from spatial_duck.testing._device import DeviceArray
    from spatial_duck.testing._engine_conformance import EngineConformance
    from spatial_duck.testing._format_conformance import FormatConformance
    from spatial_duck.testing._oracles import NO_VOXEL, Place, place_of, positions, voxel_numbers
    from spatial_duck.testing._report import Finding, Report, Status

__all__ = [
    "NO_VOXEL",
    "BackendConformance",
    "Conformance",
    "DeviceArray",
    "EngineConformance",
    "Finding",
    "FormatConformance",
    "Place",
    "Report",
    "Status",
    "assert_geometry_equal",
    "assert_lazy",
    "assert_no_host_copy",
    "assert_same_place",
    "check",
    "place_of",
    "positions",
    "voxel_numbers",
]

#: Where each name is; loaded on first use, because the pytest plugin lives in this package.
_LAZY = {
    name: module
    for module, names in {
        "assertions": "assert_geometry_equal assert_lazy assert_no_host_copy assert_same_place",
        "backend_conformance": "BackendConformance",
        "conformance": "Conformance check",
        "device": "DeviceArray",
        "engine_conformance": "EngineConformance",
        "format_conformance": "FormatConformance",
        "oracles": "NO_VOXEL Place place_of positions voxel_numbers",
        "report": "Finding Report Status",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}._{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
