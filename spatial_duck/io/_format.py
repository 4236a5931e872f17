"""What a file format is to `read` and `write`: a class with three methods.

A package adds a format by deriving from `Format` and naming one object of its class as an entry
point; ``spatial_duck.testing.FormatConformance`` tells what is wrong with it::

    [project.entry-points."spatial_duck.formats"]
    foo = "foo_duck:FORMAT"
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from spatial_duck.array import SpatialArray
    from spatial_duck.io._source import Source

__all__ = ["Format"]


class Format(ABC):
    """A file format.

    A class gives `name`, `suffixes`, `matches` and `open`, and `write` unless it only reads;
    `held_coords` where it stores coordinates.
    Keyword-only parameters of `open` and `write` are the format's options: `read` and `write` take
    them, and refuse others. A format that has a ``level`` option has levels.

    Attributes
    ----------
    name : str
        What `read` and `write` call it.
    suffixes : tuple of str
        Ends of file names; the longest that fits any format decides when writing.
    folder : bool
        Whether it writes a folder.
    opens_stores : bool
        Whether `open` takes URLs and stores too, not only paths.
    publishes : bool
        Whether `write` gets the target itself, with the caller's ``overwrite``, and sees to it
        that it is there whole or not at all: for formats that continue interrupted writes.
    write_store : callable or None
        Writes into a store, where `opens_stores`: as `write`, with the URL or store for the path
        and ``storage_options``. None: what `write` makes in a folder is copied.

    Examples
    --------
    >>> import numpy as np
    >>> from spatial_duck.io import Format
    >>> class Table(Format):
    ...     name, suffixes = "table", (".table",)
    ...
    ...     def matches(self, path, head):
    ...         return head.startswith(b"#table ")
    ...
    ...     def open(self, path, *, delimiter=" "):
    ...         step = float(path.read_text().split()[1])
    ...         return SpatialArray(np.loadtxt(path, delimiter=delimiter), spacing=step)
    >>> sorted(Table().options("read"))
    ['delimiter']
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    folder: ClassVar[bool] = False
    opens_stores: ClassVar[bool] = False
    publishes: ClassVar[bool] = False
    write_store: ClassVar[Callable[..., None] | None] = None

    @abstractmethod
    def matches(self, path: Path, head: bytes) -> bool:
        """Tell whether a file is of this format.

        Parameters
        ----------
        path : Path
            A file or a folder.
        head : bytes
            The file's first 4 KiB, of what it holds where it is compressed with gzip; empty for a
            folder.
        """

    if TYPE_CHECKING:
        # Formats name their own options.
        open: Callable[..., SpatialArray | Source]
        write: Callable[..., None]
    else:

        @abstractmethod
        def open(self, path, **options):
            """Open an image.

            Parameters
            ----------
            path : Path
                A file or a folder; where `opens_stores`, also a URL, as a str, or a store.
            **options
                The format's own.

            Returns
            -------
            SpatialArray or Source
                The image; or, to be lazy, what a header says and how to load the voxels.

            Raises
            ------
            FormatError
                If the file does not hold what its format says.
            UnsafeInputError
                If it declares more than there is, or data elsewhere.
            """

        def write(self, path, image, *, overwrite=False, progress=None, **options):  # noqa: ARG002
            """Write an image.

            Parameters
            ----------
            path : Path
                A fresh path, of the target's name, in a folder of its own: `write` alone sees it.
                What lies in that folder when this returns is published, this path last; on an
                error nothing is. A header finds a name for its data file by ``data_name``.
            image : SpatialArray
                In memory, Dask or Zarr.
            overwrite : bool
                Whether the caller allows to replace the target, which is done for the format.
            progress : bool or callable or None
                As for `spatial_duck.write`; `spatial_duck.io.reporter` makes a function of it.
            **options
                The format's own.

            Raises
            ------
            GeometryLossError
                If the format cannot hold the image's geometry.
            """
            raise FormatError(
                f"{path.name}: {self.name} is read only; write .nii, .nrrd or another format"
            )

    def held_coords(self, image: SpatialArray, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the names of an image's coordinates that `write` would store; none by default.

        `spatial_duck.write` warns of the others. Nothing is computed or written.

        Parameters
        ----------
        image : SpatialArray
            As `write` would get it.
        **options
            As `write` would get them.
        """
        return ()

    def parts(self, path: Path) -> Sequence[Path]:  # noqa: ARG002
        """Return the other files that the one at a path consists of, or would; none by default.

        They are removed when it is replaced by a file that does not consist of them.
        """
        return ()

    def writes_folder(self, path: Path) -> bool:  # noqa: ARG002
        """Whether a folder is written at a path, not a file."""
        return self.folder

    def options(self, verb: str) -> dict[str, inspect.Parameter]:
        """Return the options of ``"read"`` or ``"write"``, by name.

        Parameters
        ----------
        verb : {"read", "write"}
        """
        function = self.open if verb == "read" else self.write
        parameters = inspect.signature(function).parameters.values()
        return {
            p.name: p
            for p in parameters
            if p.kind is p.KEYWORD_ONLY and p.name not in ("overwrite", "progress")
        }

    def check_options(self, verb: str, given: Mapping[str, Any]) -> None:
        """Refuse options that the format does not have, and say which it has.

        Raises
        ------
        TypeError
            If there is one.
        """
        function = self.open if verb == "read" else self.write
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
            return
        own = list(self.options(verb))
        for name in given:
            if name not in own:
                near = get_close_matches(name, own, 1)
                guess = f"; did you mean {near[0]}=?" if near else "."
                listed = ", ".join(f"{o}=" for o in own) or "none"
                raise TypeError(f"{verb}: {self.name} has no option {name}={guess} It has {listed}")

    def arguments_of_write(self, **given: Any) -> dict[str, Any]:
        """Return those of some arguments that `write` takes: it need not take all."""
        parameters = inspect.signature(self.write).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return given
        return {k: v for k, v in given.items() if k in {p.name for p in parameters}}
