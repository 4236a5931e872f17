"""Check an image class: every voxel must keep its value and place.

`check` runs every check of `_checks` on a class and returns a report; in a test
suite, a subclass of `Conformance` becomes one test for each check, through the pytest plugin. Both
need NumPy and Hypothesis only, and nothing of the class but a way to make an image of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from spatial_duck.testing._report import LEVELS, Finding, Report, Status
from spatial_duck.testing._subject import Check, NotOffered, Subject, Wrong

if TYPE_CHECKING:
    from spatial_duck.testing._subject import Grid

__all__ = ["Conformance", "check", "run_check"]

#: Examples tried of each check; a wrong one is made smaller after that.
EXAMPLES = 20


def check(
    factory: Callable[..., Any],
    geometry_of: Callable[[Any], Sequence[Any]] | None = None,
    *,
    values_of: Callable[[Any], Any] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    ndims: Sequence[int] = (2, 3),
    oblique: bool = True,
    sheared: bool = True,
    flipped: bool = True,
    levels: Sequence[str] = LEVELS,
    max_examples: int = EXAMPLES,
    name: str | None = None,
) -> Report:
    """Check an image class against the duck interface.

    Parameters
    ----------
    factory : callable
        ``factory(data, spacing, origin, direction)`` makes an image of the class. The data are a
        float64 array; spacing has a number for each array axis, origin one for each world axis,
        direction a column for each array axis and a row for each world axis. What it refuses by
        raising does not count against it.
    geometry_of : callable, optional
        Reads (spacing, origin, direction) from an image whose attributes are called otherwise,
        in the same orders; and as a fourth, where not every array axis has positions, those that
        have.
    values_of : callable, optional
        Reads the array of an image; `numpy.asarray` by default.
    functions : mapping of str to callable, optional
        The class's own functions where it has others than NumPy's, by NumPy's names and with their
        first parameters: ``{"flip": lambda x, axis: x.mirror(axis)}``. ``"index"`` is ``x[key]``.
    ndims : sequence of int, optional
        Numbers of axes that images may have.
    oblique, sheared, flipped : bool, optional
        Whether axes may run at any angle to the world's, at other than right angles to each other,
        and against the world's axes.
    levels : sequence of str, optional
        Of ``"attributes"``, ``"indexing"``, ``"functions"``, ``"lazy"``, ``"exchange"``; all by
        default.
    max_examples : int, optional
        How many examples are tried of each check.
    name : str, optional
        What the report calls the class; by default the name of the factory.

    Returns
    -------
    Report
        One finding for each check: right, wrong with the smallest example, or not offered.

    Examples
    --------
    An array that keeps its three attributes whatever happens to it:

    >>> import numpy as np
    >>> class Stale(np.ndarray):
    ...     def __array_finalize__(self, other):
    ...         for name in ("spacing", "origin", "direction"):
    ...             setattr(self, name, getattr(other, name, None))
    >>> def factory(data, spacing, origin, direction):
    ...     image = data.view(Stale)
    ...     image.spacing, image.origin, image.direction = spacing, origin, direction
    ...     return image
    >>> report = check(factory, levels=["attributes", "indexing"], name="Stale")
    >>> report["origin"].status.value, report["x[1:]"].status.value
    ('right', 'wrong')
    >>> print(report["x[1:]"])
    x[1:]: wrong. Wanted: every voxel keeps its value and position.
      voxel 3 was at [1.0, 0.0] and is, at index (0, 0) of the result, at [0.0, 0.0]
        import numpy as np
        numbers = np.arange(9.0).reshape((3, 3))
        x = factory(numbers, (1.0, 1.0), (0.0, 0.0), np.eye(2))
        y = x[1:]
    """
    checks = _all_checks()
    unknown = set(levels) - set(LEVELS)
    if unknown:
        raise ValueError(f"levels are {LEVELS}; got {sorted(unknown)}")
    subject = Subject(
        factory,
        geometry_of,
        values_of,
        dict(functions or {}),
        tuple(ndims),
        oblique,
        oblique and sheared,
        flipped,
    )
    found = (run_check(row, subject, max_examples) for row in checks if row.level in levels)
    title = name or str(getattr(factory, "__name__", type(factory).__name__))
    return Report(title, tuple(found))


def _all_checks() -> Sequence[Check]:
    """Return all checks, which need Hypothesis; without what a copy of this folder would lack."""
    try:
        from spatial_duck.testing._checks import CHECKS
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ImportError(
            "checking an image class needs hypothesis: pip install hypothesis"
        ) from error
    return CHECKS


class _Example(NamedTuple):
    """An example: a grid, and what is done to an image on it."""

    grid: Grid
    text: str

    def code(self, subject: Subject) -> str:
        return f"import numpy as np\n{self.grid.code()}\ny = {subject.shown(self.text)}"


def run_check(row: Check, subject: Subject, max_examples: int = EXAMPLES) -> Finding:
    """Run one check, and make what it finds wrong as small as it can.

    Parameters
    ----------
    row : Check
        A row of `spatial_duck.testing._checks.CHECKS`.
    subject : Subject
        What is checked.
    max_examples : int, optional
        How many examples are tried.
    """
    import hypothesis
    from hypothesis import strategies as st

    from spatial_duck.testing._checks import grids

    @st.composite
    def tried(draw: Any) -> _Example:
        grid = draw(grids(subject, row.sides))
        return _Example(grid, row.write(draw, grid.shape, subject))

    right: list[_Example] = []
    refusals: list[str] = []

    def is_wrong(example: _Example) -> bool:
        try:
            _evaluate(row, subject, example)
        except Wrong:
            return True
        except NotOffered as error:
            refusals.append(str(error))
        else:
            right.append(example)
        return False

    settings = hypothesis.settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    try:
        worst = hypothesis.find(tried(), is_wrong, settings=settings, random=random.Random(0))
    except hypothesis.errors.NoSuchExample:
        worst = None
    if worst is not None:
        try:
            _evaluate(row, subject, worst)
            said = "it is wrong at times: the same example came out right again"
        except (Wrong, NotOffered) as error:
            said = str(error)
        return _finding(row, Status.WRONG, said, worst.code(subject))
    if right:
        return _finding(row, Status.RIGHT, f"refuses some: {refusals[0]}" if refusals else "")
    return _finding(row, Status.NOT_OFFERED, refusals[0] if refusals else "nothing could be tried")


def _evaluate(row: Check, subject: Subject, example: _Example) -> None:
    try:
        row.expectation(subject, example.grid, example.text)
    except (Wrong, NotOffered):
        raise
    except Exception as error:
        # What a class gives back must be readable: here it broke on a result of its own.
        raise Wrong(f"the result cannot be read: {type(error).__name__}: {error}") from error


def _finding(row: Check, status: Status, said: str, example: str = "") -> Finding:
    return Finding(row.name, row.level, row.wanted, status, said, example)


class Conformance:
    """Base of test classes: each check of an image class becomes a test.

    Subclass it in a test file, give it a factory, and name the subclass ``Test...``. The pytest
    plugin that comes with this package does the rest; what the class does not offer is skipped.
    The attributes are the parameters of `check`.

    Examples
    --------
    >>> from spatial_duck.testing import Conformance
    >>> class TestMyImage(Conformance):
    ...     oblique = flipped = False  # the class has no direction
    ...
    ...     @staticmethod
    ...     def factory(data, spacing, origin, direction):
    ...         return MyImage(data, spacing, origin)
    """

    factory: ClassVar[Callable[..., Any]]
    geometry_of: ClassVar[Callable[[Any], Sequence[Any]] | None] = None
    values_of: ClassVar[Callable[[Any], Any] | None] = None
    functions: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    ndims: ClassVar[Sequence[int]] = (2, 3)
    oblique: ClassVar[bool] = True
    sheared: ClassVar[bool] = True
    flipped: ClassVar[bool] = True
    max_examples: ClassVar[int] = EXAMPLES

    @classmethod
    def subject(cls) -> Subject:
        """Return the subject of the checks, of the attributes of this class."""
        return Subject(
            cls.factory,
            cls.geometry_of,
            cls.values_of,
            dict(cls.functions),
            tuple(cls.ndims),
            cls.oblique,
            cls.oblique and cls.sheared,
            cls.flipped,
        )

    @classmethod
    def report(cls, levels: Sequence[str] = LEVELS) -> Report:
        """Run all checks outside pytest."""
        rows = [row for row in _all_checks() if row.level in levels]
        found = (run_check(row, cls.subject(), cls.max_examples) for row in rows)
        return Report(cls.__name__, tuple(found))

    def test_conformance(self, spatial_check: Check) -> None:
        """Run one check; the plugin calls this once for each."""
        __tracebackhide__ = True
        from unittest import SkipTest

        finding = run_check(spatial_check, self.subject(), self.max_examples)
        if finding.status is Status.NOT_OFFERED:
            raise SkipTest(f"not offered: {finding.said}")
        if finding.status is Status.WRONG:
            raise AssertionError(str(finding))
