"""Names of keywords that completion shows, where the code says ``**changes`` or ``**options``.

Type checkers read them from ``**changes: Unpack[GeometryChanges]``; `show_keywords` shows them to
whatever asks `inspect.signature`: IPython, Jedi, `help`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["show_keywords"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def show_keywords(keywords: type) -> Callable[[_Function], _Function]:
    """Return a decorator that shows names instead of a function's ``**options``.

    Parameters
    ----------
    keywords : type
        A `TypedDict`, in a module whose annotations are text.
    """
    shown = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=..., annotation=kind.__forward_arg__
        )
        for name, kind in keywords.__annotations__.items()
    ]

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        *named, _ = signature.parameters.values()
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*named, *shown]
        )
        return function

    return decorate
