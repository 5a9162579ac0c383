"""What users are told of classes: their own name in errors, and few words of large arrays."""

from types import FunctionType
from typing import Any, TypeVar

import numpy as np

Class = TypeVar("Class", bound=type)


def own_names(cls: Class) -> Class:
    """A class whose errors about arguments name it.

    Python names the class that defines a method, which for one that is inherited may be private:
    "_Base.fit() got an unexpected keyword argument". So public methods of fastknn's own bases, and
    their constructors, become functions of the class itself: the same code, under its name.
    """
    for name in dir(cls):
        if name.startswith("_") and name != "__init__":
            continue
        owner = next((base for base in cls.__mro__ if name in vars(base)), None)
        function = None if owner is None else vars(owner)[name]
        if owner is cls or type(function) is not FunctionType:
            continue
        if function.__module__.split(".")[0] == "fastknn":
            setattr(cls, name, _renamed(function, f"{cls.__qualname__}.{name}"))
    return cls


def _renamed(function: FunctionType, name: str) -> FunctionType:
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, function.__annotations__
    copy.__doc__, copy.__module__, copy.__qualname__ = function.__doc__, function.__module__, name
    copy.__dict__.update(function.__dict__)
    return copy


def outline(value: Any) -> str:
    """What a named tuple shows of itself: of an array its type and shape, of all else the value."""
    fields = (
        f"{name}={one.dtype} {one.shape}" if isinstance(one, np.ndarray) else f"{name}={one!r}"
        for name, one in value._asdict().items()
    )
    return f"{type(value).__name__}({', '.join(fields)})"
