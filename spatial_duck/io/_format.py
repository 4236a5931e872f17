"""The abstract class of file formats, which `read` and `write` use.

A package adds a format by deriving from `Format` and naming an instance as an entry point;
``spatial_duck.testing.FormatConformance`` tests it::

    [project.entry-points."spatial_duck.formats"]
    foo = "foo_duck:FORMAT"
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spatial_duck._advice import check_keywords
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError
from spatial_duck.io._option_values import check_values

if TYPE_CHECKING:
    from spatial_duck.io._source import Source

__all__ = ["Format"]


class Format(ABC):
    """A file format.

    A class defines `name`, `suffixes`, `matches` and `open`, and `write` unless it only reads;
    `held_coords` if it stores coordinates. Keyword-only parameters of `open` and `write` are the
    format's options: `read` and `write` accept them, and raise for others. A format with an option
    ``level`` has levels.

    Attributes
    ----------
    name : str
        Name of the format for ``format=`` of `read` and `write`.
    suffixes : tuple of str
        Ends of file names; when writing, the longest that fits decides between formats.
    folder : bool
        Whether it writes a folder.
    opens_stores : bool
        Whether `open` takes URLs and stores too, not only paths.
    publishes : bool
        Whether `write` gets the target itself, with the caller's ``overwrite``, and makes sure
        that it is complete or not there at all: for formats that resume interrupted writes.
    write_store : callable or None
        Writes into a store, if `opens_stores`: as `write`, with the URL or store for the path, and
        ``storage_options``. None: the folder that `write` makes is copied.

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
        """Whether a file is of this format.

        Parameters
        ----------
        path : Path
            A file or a folder.
        head : bytes
            The first 4 KiB of the file, decompressed if it is compressed with gzip; empty for a
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
                A file or a folder; if `opens_stores`, also a URL, as a str, or a store.
            **options
                Options of the format.

            Returns
            -------
            SpatialArray or Source
                The image; or a `Source`, which loads the voxels later.

            Raises
            ------
            FormatError
                If the file is not valid.
            UnsafeInputError
                If it declares more data than it holds, or data in another folder.
            """

        def write(self, path, image, *, overwrite=False, progress=None, **options):  # noqa: ARG002
            """Write an image.

            Parameters
            ----------
            path : Path
                A new path with the target's name, in a temporary folder of its own. All files in
                that folder are published when this returns, this path last; on an error nothing is.
                ``data_name`` gives the name of a header's data file.
            image : SpatialArray
                In memory, Dask or Zarr.
            overwrite : bool
                Whether the caller allows the target to be replaced; the caller replaces it.
            progress : bool or callable or None
                As for `spatial_duck.write`; `spatial_duck.io.reporter` makes a function of it.
            **options
                Options of the format.

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

        `spatial_duck.write` warns about the others. Nothing is computed or written.

        Parameters
        ----------
        image : SpatialArray
            As `write` would get it.
        **options
            As `write` would get them.
        """
        return ()

    def parts(self, path: Path) -> Sequence[Path]:  # noqa: ARG002
        """Return the other files that an image at a path has or would have; none by default.

        They are removed when the image is replaced by one that does not have them.
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

    def check_options(
        self, verb: str, given: Mapping[str, Any], without: Collection[str] = ()
    ) -> None:
        """Check that the format has the options that are given, and their kinds of values.

        Parameters
        ----------
        verb : {"read", "write"}
        given : mapping
            Options, by name.
        without : collection of str, optional
            Options that the caller's function does not have.

        Raises
        ------
        TypeError
            If it lacks one (the message lists those that it has), or one that it annotates as bool
            is something else.
        FormatError
            If ``levels``, ``threads`` or ``tile`` is not an int of 1 or more.
        """
        function = self.open if verb == "read" else self.write
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
            return
        options = {k: v for k, v in self.options(verb).items() if k not in without}
        check_keywords(f"{verb}: {self.name}", given, options)
        check_values(options, given)

    def arguments_of_write(self, **given: Any) -> dict[str, Any]:
        """Return the arguments that `write` accepts, of those given."""
        parameters = inspect.signature(self.write).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return given
        return {k: v for k, v in given.items() if k in {p.name for p in parameters}}
