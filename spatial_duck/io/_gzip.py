"""gzip files with several members, and with other bytes after them."""

from __future__ import annotations

import warnings
import zlib
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["MAGIC", "GzipMembers", "head_of_content"]

#: The first bytes of each gzip member.
MAGIC = b"\x1f\x8b"
#: zlib's number for "a gzip header, and its trailer verified".
_GZIP = 31


class GzipMembers:
    """A readable stream of the decompressed gzip members of a file.

    The checksum and length of each member are verified. Bytes after the last member are ignored:
    zeros are padding, and others raise a warning, as gzip itself does.

    Parameters
    ----------
    file : binary file
        At the position of the first member.
    name : object
        Named in the warning; None for no warning.
    """

    def __init__(self, file: BinaryIO, name: object) -> None:
        self._file, self._name = file, name
        self._inflate = zlib.decompressobj(_GZIP)
        self._ready, self._ended = b"", False

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, or all; empty at the end.

        Raises
        ------
        EOFError
            If a member ends early.
        zlib.error
            If one is not valid, or its checksum is wrong.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while not self._ready and not self._ended:
            if self._inflate.eof:
                self._next_member()
                continue
            packed = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            # With no input left, the decompressor may still hold output that the limit cut off.
            self._ready = self._unpack(packed)
            if not packed and not self._ready and not self._inflate.eof:
                raise EOFError("the gzip stream ends early")
        out, self._ready = self._ready[:size], self._ready[size:]
        return out

    def _unpack(self, packed: bytes) -> bytes:
        try:
            return self._inflate.decompress(packed, 1 << 20)
        except zlib.error as error:
            raise zlib.error(f"its CRC does not fit, or it is no gzip: {error}") from error

    def _next_member(self) -> None:
        """Begin the next member, if there is one."""
        rest = self._inflate.unused_data
        while not rest.strip(b"\0") and (more := self._file.read(1 << 16)):
            rest = more
        rest = rest.lstrip(b"\0")
        if len(rest) == 1:
            rest += self._file.read(1)
        if rest.startswith(MAGIC):
            self._inflate = zlib.decompressobj(_GZIP)
            self._ready = self._unpack(rest)
            return
        self._ended = True
        if rest and self._name is not None:
            warnings.warn(
                f"{self._name}: other bytes follow its gzip data, and are not read",
                UserWarning,
                stacklevel=2,
            )


def head_of_content(packed: bytes, size: int) -> bytes:
    """Return the first decompressed bytes of a gzip file, given its first bytes.

    Parameters
    ----------
    packed : bytes
        First bytes of the file.
    size : int
        Most bytes to return.

    Examples
    --------
    >>> import gzip
    >>> head_of_content(gzip.compress(b"NRRD0005") + b"more", 4)
    b'NRRD'
    """
    stream, head = GzipMembers(BytesIO(packed), None), b""
    with suppress(EOFError, zlib.error):
        while len(head) < size and (piece := stream.read(size - len(head))):
            head += piece
    return head
