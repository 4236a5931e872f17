"""Each recipe on each backend: right, or refused as the bare backend refuses it."""

from __future__ import annotations

import pytest

from tests.rules.calls import OVERRIDABLE, find
from tests.rules.coverage import BACKENDS, NoSuchType, check
from tests.rules.recipes import RECIPES, Recipe

KNOWN = [r for r in RECIPES if find(r.name) in OVERRIDABLE]
#: Zarr goes the way of Dask for most functions: one call of each is enough.
CASES = [
    pytest.param(r, b, id=f"{r.label}-{b}")
    for r in KNOWN
    for b in BACKENDS
    if b != "numpy" and (b != "zarr" or r.label.endswith("-0"))
]


@pytest.mark.parametrize("recipe, backend", CASES)
def test_right_or_refused_as_bare(recipe: Recipe, backend: str) -> None:
    pytest.importorskip(backend, reason=f"needs {backend}")
    try:
        check(recipe, backend)
    except NoSuchType as error:
        pytest.skip(str(error))
