"""Headers read without nibabel say what nibabel's say, and only where it has no comment."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.io.nifti._plain_header import plain_header
from tests.test_public_api import in_fresh_process

nib = pytest.importorskip("nibabel")

CODES = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2304, 9]
FLOATS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 352.0, 353.0, np.nan, np.inf, -np.inf, 1e-8])
INTEGERS = st.integers(0, 127)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A header as nibabel makes it, of which a few fields are anything."""
    kind = draw(st.sampled_from([nib.Nifti1Header, nib.Nifti2Header]))
    header = kind(endianness=draw(st.sampled_from("<>")))
    header.set_data_shape(draw(st.lists(st.integers(1, 9), min_size=1, max_size=5)))
    header.set_data_dtype(draw(st.sampled_from(["u1", "i2", "f4", "f8", "c8"])))
    turn = np.linalg.qr(np.array(draw(st.lists(FLOATS.filter(np.isfinite), min_size=9, max_size=9))
                                 ).reshape(3, 3) + 5 * np.eye(3))[0]  # fmt: skip
    affine = np.eye(4)
    affine[:3, :3] = turn * draw(st.sampled_from([0.5, 1.0, 3.3]))
    header.set_qform(affine, draw(st.integers(0, 5)))
    header.set_sform(affine, draw(st.integers(0, 5)))
    for name in draw(st.lists(st.sampled_from(header.keys()), max_size=3)):
        field = header[name]
        if name == "datatype":
            field[...] = draw(st.sampled_from(CODES))
        elif field.dtype.kind in "iuf":
            values = FLOATS if field.dtype.kind == "f" else INTEGERS
            where = draw(st.integers(0, max(field.size - 1, 0)))
            field.reshape(-1)[where] = draw(values)
        else:
            field[...] = draw(st.binary(max_size=4))
    return bytes(header.binaryblock) + draw(st.sampled_from([b"\0" * 4, b"", b"\1\0\0\0"]))


def _result(of: Any, *args: Any) -> Any:
    try:
        return of(*args)
    except ValueError as error:
        return str(error)


@given(headers())
def test_plain_headers_are_nibabels(head: bytes) -> None:
    ours = plain_header(head)
    if ours is None:
        return
    said: list[str] = []
    listener = logging.Handler(logging.INFO)
    listener.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    nib.imageglobals.logger.addHandler(listener)
    try:
        kind = nib.Nifti2Header if len(head) > 400 else nib.Nifti1Header
        theirs = kind.from_fileobj(io.BytesIO(head), check=True)
    finally:
        nib.imageglobals.logger.removeHandler(listener)
    assert not said
    assert not theirs.extensions
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert ours.get_data_shape() == theirs.get_data_shape()
    assert ours.get_data_dtype() == theirs.get_data_dtype()
    assert ours.get_slope_inter() == theirs.get_slope_inter()
    assert ours.get_dim_info() == theirs.get_dim_info()
    assert ours.single_vox_offset == theirs.single_vox_offset
    for form in ("get_sform", "get_qform"):
        np.testing.assert_equal(
            _result(getattr(ours, form), True), _result(getattr(theirs, form), True)
        )


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_written_here_is_plain(version: int, tmp_path: Any) -> None:
    image = sd.SpatialArray(np.zeros((3, 4, 5), "i2"), spacing=(3, 1, 1), frame="LPS")
    sd.write(tmp_path / "a.nii", image, version=version)
    assert plain_header((tmp_path / "a.nii").read_bytes()[:544]) is not None


@pytest.mark.slow
def test_plain_files_are_read_without_nibabel(tmp_path: Any) -> None:
    image = sd.SpatialArray(np.zeros((3, 4, 5), "i2"), spacing=(3, 1, 1), frame="LPS")
    sd.write(tmp_path / "a.nii.gz", image)
    code = f"""
import sys
import spatial_duck as sd
sd.read({str(tmp_path / "a.nii.gz")!r})
assert "nibabel" not in sys.modules
"""
    in_fresh_process(code, tmp_path)
