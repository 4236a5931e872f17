"""Functions of `numpy.lib.recfunctions` on each voxel's fields; those on tables are refused."""

from __future__ import annotations

from typing import Any

from numpy.lib import recfunctions

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import UNKNOWN, named, only, refuse, rule, together

__all__: list[str] = []


@rule("keeps", *named(recfunctions, "rename_fields"))
def _rename_fields(base: Geometry, namemapper: Any) -> Geometry:
    return base


@rule("keeps", *named(recfunctions, "require_fields"))
def _require_fields(array: Geometry, required_dtype: Any) -> Geometry:
    return array


@rule("keeps", *named(recfunctions, "repack_fields"))
def _repack_fields(a: Any, align: Any = False, recurse: Any = False) -> Geometry | None:
    return only(a)


@rule("keeps", *named(recfunctions, "apply_along_fields"))
def _apply_along_fields(func: Any, arr: Geometry) -> Geometry:
    return arr


@rule("keeps", *named(recfunctions, "structured_to_unstructured"))
def _structured_to_unstructured(
    arr: Geometry, dtype: Any = None, copy: Any = False, casting: Any = "unsafe"
) -> Geometry:
    grid = arr[..., None]
    return grid.with_shape((*arr.shape, UNKNOWN))


@rule("keeps", *named(recfunctions, "unstructured_to_structured"))
def _unstructured_to_structured(
    arr: Geometry,
    dtype: Any = None,
    names: Any = None,
    align: Any = False,
    copy: Any = False,
    casting: Any = "unsafe",
) -> Geometry:
    return arr.reduce(-1)


@rule("keeps", *named(recfunctions, "assign_fields_by_name"))
def _assign_fields_by_name(dst: Any, src: Any, zero_unassigned: Any = True) -> None:
    if isinstance(dst, Geometry) and isinstance(src, Geometry):
        together("assign_fields_by_name", dst, src)


@rule("keeps", *named(recfunctions, "recursive_fill_fields"))
def _recursive_fill_fields(input: Any, output: Any) -> Any:
    if isinstance(input, Geometry) and isinstance(output, Geometry):
        together("recursive_fill_fields", input, output)
    return only(output)


refuse(
    "works on tables, and puts voxels in a row or under a mask: call it on image.data",
    *named(
        recfunctions,
        "append_fields",
        "drop_fields",
        "find_duplicates",
        "join_by",
        "merge_arrays",
        "rec_append_fields",
        "rec_drop_fields",
        "rec_join",
        "stack_arrays",
    ),
)
