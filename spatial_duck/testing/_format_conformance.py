"""Check a file format: what is written comes back in its place, whole or not at all.

A subclass of `FormatConformance` becomes one test for each check of
`spatial_duck.testing._format_checks`, through the pytest plugin; `FormatConformance.report` runs
them anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from spatial_duck.testing._format_checks import FORMAT_CHECKS, FormatCheck, FormatSubject
from spatial_duck.testing._report import Finding, Report, Status
from spatial_duck.testing._subject import NotOffered, Wrong

__all__ = ["FormatConformance"]


class FormatConformance:
    """Base of test classes: each check of a file format becomes a test.

    Subclass it in a test file, say which suffix it is about, and name the subclass ``Test...``.

    Attributes
    ----------
    suffix : str
        Suffix of the files that are written; it tells the format.
    options : mapping
        Options of `spatial_duck.write`.
    read_options : mapping
        Options of `spatial_duck.read`.
    tolerance : float
        Displacement, in voxels, that the digits of a header cause.
    dtype : str
        Data type of most voxels that are tried; the format should hold it.
    shape : tuple of int
        Shape of most images that are tried.
    fresh_attrs : tuple of str
        Header fields under the format's name that each file has anew.
    keeps_attrs : bool
        Whether the format says that it holds free attrs.
    write, read : callable
        ``write(path, image, overwrite=False, **options)`` and ``read(path, **options)``; those of
        `spatial_duck` by default.

    Examples
    --------
    >>> from spatial_duck.testing import FormatConformance
    >>> class TestFoo(FormatConformance):
    ...     suffix = ".foo"
    """

    suffix: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    read_options: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-6
    dtype: ClassVar[str] = "u2"
    shape: ClassVar[tuple[int, ...]] = (3, 4, 5)
    fresh_attrs: ClassVar[tuple[str, ...]] = ()
    keeps_attrs: ClassVar[bool] = False
    write: ClassVar[Callable[..., None] | None] = None
    read: ClassVar[Callable[..., Any] | None] = None

    @classmethod
    def subject(cls) -> FormatSubject:
        """Return the subject of the checks, of the attributes of this class."""
        from spatial_duck import io
        from spatial_duck.io._registry import find_format, format_to_write

        reading = cls.read or io.read

        def read(path: Path, **more: Any) -> Any:
            return reading(path, **cls.read_options, **more)

        def held_coords(image: Any) -> Collection[str]:
            if cls.write is not None:  # which says nothing of them
                return ()
            options = dict(cls.options)
            name = options.pop("format", None)
            path = Path(f"a{cls.suffix}")
            chosen = format_to_write(path) if name is None else find_format(name)
            return chosen.held_coords(image, **options)

        return FormatSubject(
            cls.write or io.write, read, cls.suffix, cls.options, cls.tolerance, cls.dtype,
            cls.keeps_attrs, held_coords, cls.shape, cls.fresh_attrs,
        )  # fmt: skip

    @classmethod
    def report(cls, names: Sequence[str] | None = None) -> Report:
        """Run all checks, or those of some names, outside pytest.

        Parameters
        ----------
        names : sequence of str, optional
            Names of checks.

        Returns
        -------
        Report
            One finding for each check: right, wrong, or not offered.
        """
        rows = [row for row in FORMAT_CHECKS if names is None or row.name in names]
        return Report(cls.__name__, tuple(cls._run(row) for row in rows))

    @classmethod
    def _run(cls, row: FormatCheck) -> Finding:
        status, said = Status.RIGHT, ""
        with tempfile.TemporaryDirectory() as folder:
            try:
                row.run(cls.subject(), Path(folder))
            except NotOffered as error:
                status, said = Status.NOT_OFFERED, str(error)
            except Wrong as error:
                status, said = Status.WRONG, str(error)
            except Exception as error:  # the format broke in its own way
                status, said = Status.WRONG, f"it raises {type(error).__name__}: {error}"
        return Finding(row.name, row.level, row.wanted, status, said)

    def test_format_conformance(self, format_check: FormatCheck) -> None:
        """Run one check; the plugin calls this once for each."""
        __tracebackhide__ = True
        from unittest import SkipTest

        finding = self._run(format_check)
        if finding.status is Status.NOT_OFFERED:
            raise SkipTest(f"not offered: {finding.said}")
        if finding.status is Status.WRONG:
            raise AssertionError(str(finding))
