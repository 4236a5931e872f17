"""NIfTI headers with which nothing is wrong, read without nibabel, which takes long to load.

`plain_header` returns one, or None for one that nibabel would mend, complain of or read extensions
of. It has the names and numbers of nibabel's headers, as far as reading asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PlainHeader", "plain_header"]


def _fields(text: str) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in (field.split(":") for field in text.split())]


#: The fields of NIfTI-1 and NIfTI-2 in the order of the file, by the bytes of a header.
_FIELDS = {
    348: _fields(
        "sizeof_hdr:i4 data_type:S10 db_name:S18 extents:i4 session_error:i2 regular:S1 "
        "dim_info:u1 dim:8i2 intent_p1:f4 intent_p2:f4 intent_p3:f4 intent_code:i2 datatype:i2 "
        "bitpix:i2 slice_start:i2 pixdim:8f4 vox_offset:f4 scl_slope:f4 scl_inter:f4 slice_end:i2 "
        "slice_code:u1 xyzt_units:u1 cal_max:f4 cal_min:f4 slice_duration:f4 toffset:f4 glmax:i4 "
        "glmin:i4 descrip:S80 aux_file:S24 qform_code:i2 sform_code:i2 quatern_b:f4 quatern_c:f4 "
        "quatern_d:f4 qoffset_x:f4 qoffset_y:f4 qoffset_z:f4 srow_x:4f4 srow_y:4f4 srow_z:4f4 "
        "intent_name:S16 magic:S4"
    ),
    540: _fields(
        "sizeof_hdr:i4 magic:S4 eol_check:4i1 datatype:i2 bitpix:i2 dim:8i8 intent_p1:f8 "
        "intent_p2:f8 intent_p3:f8 pixdim:8f8 vox_offset:i8 scl_slope:f8 scl_inter:f8 cal_max:f8 "
        "cal_min:f8 slice_duration:f8 toffset:f8 slice_start:i8 slice_end:i8 descrip:S80 "
        "aux_file:S24 qform_code:i4 sform_code:i4 quatern_b:f8 quatern_c:f8 quatern_d:f8 "
        "qoffset_x:f8 qoffset_y:f8 qoffset_z:f8 srow_x:4f8 srow_y:4f8 srow_z:4f8 slice_code:i4 "
        "xyzt_units:i4 intent_code:i4 intent_name:S16 dim_info:u1 unused_str:S15"
    ),
}
_MAGIC = {348: (b"n+1", b"ni1"), 540: (b"n+2", b"ni2")}
#: How far from 0 the square of a quaternion's first number counts as 0.
_NOTHING = {348: 3 * np.finfo(np.float32).eps, 540: 3 * np.finfo(np.float64).eps}
_DTYPES: dict[int, Any] = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 32: "c8", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8", 1792: "c16", 128: [(n, "u1") for n in "RGB"],
    2304: [(n, "u1") for n in "RGBA"],
}  # fmt: skip


class PlainHeader:
    """A header in the place of nibabel's; each method is that of the same name there."""

    extensions = ()

    def __init__(self, fields: NDArray[Any]) -> None:
        self._fields = fields
        self._size = int(fields["sizeof_hdr"])
        self.single_vox_offset = self._size + 4

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._fields[name]
        return found

    def get_data_shape(self) -> tuple[int, ...]:
        """Return the length of each axis, fastest first."""
        count, *lengths = self["dim"].tolist()
        return tuple(lengths[:count])

    def get_data_dtype(self) -> np.dtype[Any]:
        """Return the type of the voxels in the file."""
        order: Any = self["dim"].dtype.byteorder
        found: np.dtype[Any] = np.dtype(_DTYPES[int(self["datatype"])]).newbyteorder(order)
        return found

    def get_slope_inter(self) -> tuple[float | None, float | None]:
        """Return scale and offset of the values; None for both where there are none."""
        slope = float(self["scl_slope"])
        valid = slope != 0 and np.isfinite(slope)
        return (slope, float(self["scl_inter"])) if valid else (None, None)

    def get_dim_info(self) -> tuple[int | None, ...]:
        """Return the axes of frequency, phase and slice encoding."""
        info = int(self["dim_info"])
        return tuple([(info >> bit & 3) - 1 if info >> bit & 3 else None for bit in (0, 2, 4)])

    def get_sform(self, coded: bool) -> tuple[NDArray[Any] | None, int]:  # noqa: ARG002
        """Return the affine in rows and its code; None where that is 0."""
        code = int(self["sform_code"])
        affine = np.eye(4)
        affine[:3] = self["srow_x"], self["srow_y"], self["srow_z"]
        return (affine if code else None), code

    def get_qform(self, coded: bool) -> tuple[NDArray[Any] | None, int]:  # noqa: ARG002
        """Return the affine by quaternion and its code; None where that is 0.

        Raises
        ------
        ValueError
            If the quaternion is longer than 1.
        """
        code = int(self["qform_code"])
        if code == 0:
            return None, 0
        x, y, z = part = np.array([self[f"quatern_{n}"] for n in "bcd"], np.longdouble)
        square: Any = 1.0 - part @ part
        w: Any
        if abs(square) < _NOTHING[self._size]:
            w = np.longdouble(0)
        elif square < 0:
            raise ValueError(f"w2 should be positive, but is {square:e}")
        else:
            w = np.sqrt(square)
        # https://en.wikipedia.org/wiki/Rotation_matrix#Quaternion
        scale = 2.0 / (w * w + x * x + y * y + z * z)
        X, Y, Z = x * scale, y * scale, z * scale
        turn = np.array(
            [
                [1.0 - (y * Y + z * Z), x * Y - w * Z, x * Z + w * Y],
                [x * Y + w * Z, 1.0 - (x * X + z * Z), y * Z - w * X],
                [x * Z - w * Y, y * Z + w * X, 1.0 - (x * X + y * Y)],
            ]
        )
        steps = self["pixdim"][1:4].copy()
        steps[2] *= self["pixdim"][0]
        affine = np.eye(4)
        affine[:3, :3] = turn @ np.diag(steps)
        affine[:3, 3] = [self[f"qoffset_{n}"] for n in "xyz"]
        return affine, code


def plain_header(head: bytes) -> PlainHeader | None:
    """Return the header at the start of a file, or None if nibabel has to see it.

    Parameters
    ----------
    head : bytes
        The first 544 bytes, or all there are of a file without voxels.
    """
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        size = int.from_bytes(head[:4], order)
        if size in _FIELDS and len(head) >= size and not any(head[size : size + 1]):
            fields = np.array(np.frombuffer(head, np.dtype(_FIELDS[size]).newbyteorder(order), 1))
            header = PlainHeader(fields[0])
            return header if _is_plain(header, size) else None
    return None


def _is_plain(header: PlainHeader, size: int) -> bool:
    """Whether nibabel would find nothing to say or to mend, but the sign of an axis left 0."""
    count, code, offset = header["dim"][0], int(header["datatype"]), header["vox_offset"].item()
    shape, magic = header["dim"][1:4].tolist(), header["magic"]
    if not 1 <= count <= 7 or shape[0] < 0 or shape == [27307, 1, 6] or code not in _DTYPES:
        return False  # the third is FreeSurfer's, whose surfaces have more vertices
    if size == 540 and header["eol_check"].tolist() != [13, 10, 26, 10]:
        return False
    if header["pixdim"][0] not in (-1, 1):
        header["pixdim"][0] = 1
    slope, inter = header.get_slope_inter()
    return (
        magic in _MAGIC[size]
        and int(header["bitpix"]) == 8 * header.get_data_dtype().itemsize
        and not (header["pixdim"][1:4] <= 0).any()
        and (slope is None or bool(np.isfinite(inter)))
        and (offset == 0 or offset % 16 == 0)
        and not (magic == _MAGIC[size][0] and 0 != offset < header.single_vox_offset)
        and 0 <= int(header["qform_code"]) <= 5
        and 0 <= int(header["sform_code"]) <= 5
    )
