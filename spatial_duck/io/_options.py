"""Names and types of the options of formats, for completion and type checkers.

The formats of this package say themselves which of them they have, and `read` and `write` ask them:
a test holds these lists against theirs. Formats of other packages may have more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

__all__ = ["ReadOptions", "WriteOptions"]


class ReadOptions(TypedDict, total=False):
    """Options of formats for `read`."""

    form: Literal["sform", "qform"] | None
    scaled: bool
    image: str | None
    multiscale: int | str
    system: str | None
    exact: bool
    missing: Literal["refuse", "fill"]
    storage_options: Mapping[str, Any] | None
    series: str | int | None
    where: Mapping[str, Any] | None
    tolerance: float
    irregular: Literal["refuse", "resample"]
    step: float | None
    duplicates: Literal["refuse", "first"]
    plain: bool
    labels: bool
    data_anywhere: bool
    dataset: str | None
    name: str | None


class WriteOptions(TypedDict, total=False):
    """Options of formats for `write`."""

    version: Literal[1, 2] | str | None
    frame: str | None
    compress: bool
    chunks: Any
    shards: Any
    levels: int | None
    factors: int | Mapping[str, int] | None
    method: str | None
    oblique: Literal["refuse", "keep"]
    memory: int | str
    threads: int | None
    resume: bool
    label: str | None
    storage_options: Mapping[str, Any] | None
    kind: str | None
    source: str | os.PathLike[str] | None
    segments: Mapping[int, str] | None
    omit_empty: bool
    tile: int | None
    dataset: str
    name: str
