"""A pickle of arrays and plain data, read as data: what it names is neither imported nor called.

Only the instructions that NumPy's own arrays need are known, and all of them build plain values; a call is
kept as a `Call`, and `resolve` makes the array from its bytes.
"""

import math
import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np

_FUNCTIONS = {
    **{
        f"numpy.{core}.multiarray {name}": name
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
    **{f"numpy {name}": name for name in ("ndarray", "dtype")},
}
_VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_VALUES += ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_NEW = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False}
_NEW |= {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DTYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "b1")


@dataclass(eq=False)
class Call:
    """What a pickle says to call, one of NumPy's, with what; `state` is set on the result."""

    function: str
    args: tuple[Any, ...] | None = None
    state: Any = None


def load(data: bytes) -> Any:
    """The value of a pickle, protocol 3 to 5, unresolved.

    ValueError for anything damaged, and for whatever is not NumPy's arrays and numbers or plain data.
    """
    machine = _Machine()
    try:
        for instruction, argument, _ in pickletools.genops(data):
            machine.run(instruction.name, argument)
        (value,) = machine.stack
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a pickle of arrays and plain data: {error}") from error
    return value


def resolve(value: Any) -> Any:
    """A `Call` as the array or number that it describes, other values as they are.

    An array of objects is only taken for one object, which is given back.
    """
    if not isinstance(value, Call):
        return value
    try:
        if value.function == "scalar":
            dtype, data = _a(tuple, value.args)
            return _array((), _dtype(dtype), data).item()
        if value.function == "_reconstruct":
            _, shape, dtype, fortran, data = value.state
            if shape == () and dtype.args[0] in ("O", "O4", "O8"):
                (found,) = data
                return found
            return _array(shape, _dtype(dtype), data, "F" if fortran is True else "C")
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ValueError(f"not an array: {error}") from error
    raise ValueError(f"numpy.{value.function}; accepted: arrays and numbers")


class _Machine:
    """The stack machine of pickle, for some of its instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each open mark
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _NEW:
            self.stack.append(_NEW[name]())
        elif name in _TUPLES:
            self.stack[-_TUPLES[name] :] = [tuple(self._top(_TUPLES[name]))]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name == "MARK":
            self.outer.append(self.stack)
            self.stack = []
        elif name in ("TUPLE", "APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self._gather(name)
        elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"):
            self._call(name, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"the instruction {name}; accepted: those of NumPy's arrays")

    def _gather(self, name: str) -> None:
        """Items into a tuple, list or dict."""
        if name in ("APPEND", "SETITEM"):
            items = [self.stack.pop() for _ in range(1 if name == "APPEND" else 2)][::-1]
        else:
            items, self.stack = self.stack, self.outer.pop()
        if name == "TUPLE":
            self.stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            _a(list, self.stack[-1]).extend(items)
        else:
            # only text for keys: hashing tuples within tuples can take for ever
            pairs = zip(items[::2], items[1::2], strict=True)
            _a(dict, self.stack[-1]).update({_a(str, key): value for key, value in pairs})

    def _call(self, name: str, argument: Any) -> None:
        if name in ("REDUCE", "BUILD"):
            value = self.stack.pop()
            call = _a(Call, self.stack[-1])
            if name == "BUILD":
                call.state = value
            else:
                self.stack[-1] = Call(call.function, _a(tuple, value))
            return
        if name == "STACK_GLOBAL":
            argument = " ".join(_a(str, part) for part in self._top(2))
            del self.stack[-2:]
        if argument not in _FUNCTIONS:
            raise ValueError(f"it names {argument!r:.80}; accepted: {', '.join(_FUNCTIONS)}")
        self.stack.append(Call(_FUNCTIONS[argument]))

    def _top(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError(f"{len(self.stack)} values on the stack; accepted: {count} or more")
        return self.stack[-count:]


def _a(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"a {type(value).__name__}; accepted: a {kind.__name__}")
    return value


def _dtype(value: Any) -> np.dtype:
    """Of numbers alone, in the byte order that its state names."""
    name, order = _a(Call, value).args[0], value.state[1]
    if value.function != "dtype" or name not in _DTYPES or order not in ("<", ">", "|"):
        raise ValueError(f"an array of another type; accepted: {', '.join(_DTYPES)}")
    return np.dtype(order + name)


def _array(shape: Any, dtype: np.dtype, data: Any, order: Any = "C") -> np.ndarray:
    """From the bytes, which the shape must fit."""
    sizes = [_a(int, size) for size in _a(tuple, shape)]
    if (
        len(sizes) > 8
        or min(sizes, default=0) < 0
        or math.prod(sizes) * dtype.itemsize != len(_a(bytes, data))
    ):
        raise ValueError(f"{len(data)} bytes of {dtype} for another shape; accepted: as many as it has")
    return np.frombuffer(data, dtype).reshape(sizes, order=order)
