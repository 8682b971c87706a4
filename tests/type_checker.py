"""Check annotations at run time, every element of every container, for jaxtyping's import hook.

beartype and typeguard 4 look at one element of a tuple, so a wrong last layer among the weights of
an INR slips through; typeguard 2 looks at all, but its requirements hold back what users install.
"""

import collections.abc
import functools
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, TextIO, Union, get_args, get_origin

Check = Callable[[Any], bool]

_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_COLLECTIONS = (
    list,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Set,
)


def _anything(value: Any) -> bool:
    return True


def _tuple_check(arguments: tuple[Any, ...]) -> Check:
    """tuple[X, ...] checks every element against X; tuple[X, Y] each element against its own."""
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        element = check_of(arguments[0])
        return lambda value: isinstance(value, tuple) and all(map(element, value))
    elements = [check_of(argument) for argument in arguments if argument != ()]
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(elements)
        and all(check(item) for check, item in zip(elements, value, strict=True))
    )


def _class_check(kind: type) -> Check:
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return _anything
    # The numeric tower of PEP 484: an int is a float, a float is a complex number.
    wider = {float: (float, int), complex: (complex, float, int)}.get(kind, kind)
    return lambda value: isinstance(value, wider)


def _generic_check(origin: Any, arguments: tuple[Any, ...]) -> Check:
    """A parametrised class: its elements are checked where looking at them uses nothing up."""
    if origin is tuple:
        return _tuple_check(arguments)
    if origin is type:
        return lambda value: isinstance(value, type)
    if origin is collections.abc.Callable:
        return callable
    outer = _class_check(origin)
    if origin in _MAPPINGS:
        key, item = map(check_of, arguments)
        return lambda value: outer(value) and all(key(k) and item(v) for k, v in value.items())
    if origin in _COLLECTIONS:
        element = check_of(arguments[0])
        return lambda value: outer(value) and all(map(element, value))
    return outer


@functools.lru_cache(maxsize=None, typed=True)
def check_of(annotation: Any) -> Check:
    """A function that says whether a value fits an annotation.

    Annotations that nothing can be checked against (Any, type variables, forward references,
    protocols without @runtime_checkable) accept every value.
    """
    if annotation is None or annotation is type(None):
        return lambda value: value is None
    # Any refuses isinstance, and no real file is an instance of TextIO
    if annotation in (Any, TextIO):
        return _anything
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return check_of(arguments[0])
    if origin is Literal:
        return lambda value: value in arguments
    if origin in (Union, types.UnionType):
        checks = [check_of(argument) for argument in arguments]
        return lambda value: any(check(value) for check in checks)
    if isinstance(origin, type):
        return _generic_check(origin, arguments)
    if isinstance(annotation, type):
        return _class_check(annotation)
    return _anything


def typechecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that arguments and result are held to its annotations.

    Raises:
        TypeError: a value does not fit; the message names the argument.
    """
    signature = inspect.signature(function)
    variadic = {inspect.Parameter.VAR_POSITIONAL: tuple, inspect.Parameter.VAR_KEYWORD: dict}

    def check_argument(name: str, value: Any) -> None:
        parameter = signature.parameters[name]
        if parameter.annotation is inspect.Parameter.empty:
            return
        many = variadic.get(parameter.kind)
        values = [value] if many is None else list(value.values() if many is dict else value)
        if not all(map(check_of(parameter.annotation), values)):
            raise TypeError(f"{name} must be {parameter.annotation}; got {type(value)}")

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            check_argument(name, value)
        result = function(*args, **kwargs)
        wanted = signature.return_annotation
        if wanted is not inspect.Signature.empty and not check_of(wanted)(result):
            raise TypeError(f"the result must be {wanted}; got {type(result)}")
        return result

    return checked
