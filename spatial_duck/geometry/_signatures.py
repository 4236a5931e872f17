"""Signatures that completion shows, of methods that take what a constructor takes."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["signature_of_changes"]


def signature_of_changes(constructor: Callable[..., Any], *positional: str) -> inspect.Signature:
    """Return the signature of a method that changes some of a constructor's parameters.

    None of them must be given, and all but the positional ones are given by name.
    """
    parameters = []
    for name, parameter in inspect.signature(constructor).parameters.items():
        if name == "self":
            parameters.append(parameter)
        elif name in positional:
            parameters.append(parameter.replace(default=None))
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(default=None, kind=keyword))
    return inspect.Signature(parameters)
