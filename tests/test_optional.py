"""A package that is missing is named with the extra that brings it."""

from __future__ import annotations

import sys

import pytest

from spatial_duck._optional import PACKAGES, is_installed, missing_extra, require


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert not is_installed("zarr")
    with pytest.raises(ImportError, match=r"^Reading a store needs 'zarr'.*duck\[zarr\]'") as error:
        require("zarr", "Reading a store")
    assert error.value.name == "zarr"
    with pytest.raises(ImportError, match=r"duck\[io\]'"):
        require("zarr", "Reading a store", "io")


@pytest.mark.parametrize("module", PACKAGES)
def test_every_row_says_what_to_install(module: str) -> None:
    package, extra = PACKAGES[module]
    wanted = package if extra is None else f"spatial-duck[{extra}]"
    assert f"pip install '{wanted}'" in str(missing_extra(module, "This"))


def test_a_package_of_no_extra_is_named_itself() -> None:
    with pytest.raises(ImportError, match="pip install 'no_such_package'"):
        require("no_such_package.inner", "This")
    assert require("json.decoder", "This").JSONDecoder
