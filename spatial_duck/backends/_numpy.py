"""Arrays in the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.backends import Backend, backend_of

__all__ = ["BACKEND"]


def _call(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _same(data: Any, **_: Any) -> Any:
    """Return the data, which are in memory already."""
    return data


def _take(data: Any) -> Any:
    return backend_of(data).to_numpy(data)


BACKEND = Backend(
    name="numpy",
    lazy=False,
    call=_call,
    compute=_same,
    to_numpy=np.asanyarray,
    take=_take,
    device=lambda _: "cpu",
)
