# SPDX-License-Identifier: BSD-3-Clause
"""Pickles of tensors, read without executing them.

A pickle is a program that may call anything it can name. This reader knows about a dozen names. It
replaces each with an inert record that never calls PyTorch; any other name is an error. The result
consists of tuples, dicts and lists, which are checked before their numbers are used.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

from sigmascope._host.limits import MAX_DIMENSIONS, MAX_PICKLE_STEPS
from sigmascope.errors import CheckpointError

from .jsontext import brief

_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
    "ComplexDoubleStorage": "C128",
    "UntypedStorage": "U8",
}
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
}
_KNOWN = {
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
} | {f"torch.{name}" for name in (*_STORAGES, *_DTYPES)}


class Storage(NamedTuple):
    """A storage in a pickle: its saved dtype, and the name of its record.

    `start` is the first element of a view of a storage, which early versions of PyTorch saved.
    """

    dtype: str
    key: str
    start: int = 0


class Tensor(NamedTuple):
    """A tensor in a pickle."""

    storage: Storage
    offset: int  # in elements, like the strides
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


class Name(NamedTuple):
    """A name in a pickle. Calling it makes a record; the named object is never imported."""

    name: str

    def __call__(self, *args: Any) -> Any:
        """Make the record of a tensor, or a shape; CheckpointError for any other name."""
        kind = self.name.rpartition(".")[2]
        if kind.startswith("_rebuild_parameter"):
            return args[0]
        if kind.startswith("_rebuild_tensor"):
            storage, offset, shape, strides = args[:4]
            dtype = _DTYPES[_last(args[6].name)] if kind == "_rebuild_tensor_v3" else storage.dtype
            return _tensor(storage, offset, _sizes(shape), _sizes(strides), dtype)
        if kind == "Size":
            return _sizes(args[0])
        if kind == "device":
            return "device"
        raise CheckpointError(f"{self.name} is called")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _sizes(value: object) -> tuple[Any, ...]:
    """Convert a shape or strides to a tuple, after checking their type and length."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"a shape or strides of type {type(value).__name__}")
    if len(value) > MAX_DIMENSIONS:
        raise CheckpointError(
            f"a tensor of {len(value)} dimensions, above the limit of {MAX_DIMENSIONS}"
        )
    return tuple(value)


def _tensor(
    storage: object, offset: object, shape: tuple[Any, ...], strides: tuple[Any, ...], dtype: str
) -> Tensor:
    """Check a tensor of a pickle; its extent is checked later, against the size of the file."""
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise CheckpointError(
            f"a tensor of shape {brief(list(shape))} has no storage or no strides"
        )
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise CheckpointError(f"a tensor has shape, strides or offset {brief(list(numbers))}")
    return Tensor(storage, storage.start + numbers[0], shape, strides, dtype)


class _OrderedDict(OrderedDict[Any, Any]):
    """The replacement of OrderedDict, which ignores attributes."""


_OrderedDict.__name__ = "OrderedDict"


_PLAIN = (str, int, float, bytes, type(None))
Handler = Callable[[Any], None]


def counted(handler: Handler) -> Handler:
    """Return a handler of an instruction that also counts it."""

    def step(reader: Any) -> None:
        reader.steps += 1
        if reader.steps > MAX_PICKLE_STEPS:
            raise CheckpointError(f"its pickle has more than {MAX_PICKLE_STEPS} instructions")
        handler(reader)

    return step


def _refused(reader: Any) -> None:
    raise CheckpointError("its pickle has an instruction that no file of tensors has")


def _set_one(reader: Any) -> None:
    reader.check_keys(reader.stack[-2:-1])
    pickle._Unpickler.dispatch[pickle.SETITEM[0]](reader)


def _set_many(reader: Any) -> None:
    reader.check_keys(reader.stack[::2])
    pickle._Unpickler.dispatch[pickle.SETITEMS[0]](reader)


def _make_dict(reader: Any) -> None:
    reader.check_keys(reader.stack[::2])
    pickle._Unpickler.dispatch[pickle.DICT[0]](reader)


def _add_items(reader: Any) -> None:
    reader.check_keys(reader.stack)
    pickle._Unpickler.dispatch[pickle.ADDITEMS[0]](reader)


def _make_set(reader: Any) -> None:
    reader.check_keys(reader.stack)
    pickle._Unpickler.dispatch[pickle.FROZENSET[0]](reader)


def _reduce(reader: Any) -> None:
    arguments = reader.stack.pop()
    reader.stack[-1] = reader.call(reader.stack[-1], arguments)


def _build(reader: Any) -> None:
    state = reader.stack.pop()
    reader.set_attributes(reader.stack[-1], state)


# The unpickler in Python, since a pickle of ten bytes can make the unpickler in C allocate a memo
# table of any size.
class Inert(pickle._Unpickler):
    """An unpickler that neither imports nor runs anything that a pickle names."""

    dispatch: ClassVar[dict[int, Handler]] = pickle._Unpickler.dispatch | {
        pickle.SETITEM[0]: _set_one,
        pickle.SETITEMS[0]: _set_many,
        pickle.DICT[0]: _make_dict,
        pickle.ADDITEMS[0]: _add_items,
        pickle.FROZENSET[0]: _make_set,
        pickle.REDUCE[0]: _reduce,
        pickle.BUILD[0]: _build,
        # BYTEARRAY8 allocates the stated number of bytes before it reads them.
        pickle.BYTEARRAY8[0]: _refused,
        pickle.NEXT_BUFFER[0]: _refused,
        pickle.READONLY_BUFFER[0]: _refused,
    }
    dispatch = {code: counted(handler) for code, handler in dispatch.items()}
    steps = 0

    def check_keys(self, keys: Iterable[object]) -> None:
        """Refuse keys other than plain values: hashing nested tuples may take exponential time."""
        for key in keys:
            parts = key if type(key) is tuple else (key,)
            if not all(type(part) in _PLAIN or type(part) is bool for part in parts):
                raise CheckpointError(f"a dict or set has a key of type {type(key).__name__}")

    def set_attributes(self, owner: object, state: object) -> None:
        """Ignore attributes of an OrderedDict, mostly versions of modules; refuse all others."""
        if not isinstance(owner, _OrderedDict):
            raise CheckpointError(f"a {type(owner).__name__} is given attributes")

    def call(self, function: Any, arguments: object) -> Any:
        """Make the record of a call of a named function or of OrderedDict.

        All arguments count as instructions, since many calls may share one tuple of arguments.
        """
        if type(arguments) is not tuple:
            raise CheckpointError(f"its pickle calls with a {type(arguments).__name__}")
        self.steps += len(arguments)
        if function is not _OrderedDict:
            return function(*arguments)
        made, pairs = _OrderedDict(), arguments[0] if arguments else ()
        if len(arguments) > 1 or not isinstance(pairs, list | tuple):
            raise CheckpointError("an OrderedDict made from something else")
        self.steps += len(pairs)  # Python 2 gives the items to the class
        for pair in pairs:
            if type(pair) not in (list, tuple) or len(pair) != 2:
                raise CheckpointError("an OrderedDict made from something else")
            self.check_keys(pair[:1])
            made[pair[0]] = pair[1]
        return made

    def known(self, module: str, name: str) -> Any:
        """Return the replacement of a name that a tensor needs; None for any other name."""
        if (module, name) == ("collections", "OrderedDict"):
            return _OrderedDict
        return Name(f"{module}.{name}") if f"{module}.{name}" in _KNOWN else None

    def find_class(self, module: str, name: str, /) -> Any:
        """Return the replacement of a name; CheckpointError if no tensor needs the name."""
        if (stand_in := self.known(module, name)) is not None:
            return stand_in
        raise CheckpointError(
            f"refused: its pickle requests {brief(f'{module}.{name}')}, which is not part of a "
            "tensor; nothing in it was executed"
        )

    def persistent_load(self, pid: Any) -> Storage:
        """Return the record of a storage."""
        kind, storage, key, _, _ = pid
        if kind != "storage" or not isinstance(storage, Name) or type(key) is not str:
            raise CheckpointError(f"a reference to {brief(kind)} is not a storage")
        return Storage(_STORAGES[_last(storage.name)], key)


def unpickled(raw: bytes, reader: type[Inert] = Inert) -> object:
    """Read a pickle in memory, like :func:`unpickled_from`."""
    return unpickled_from(io.BytesIO(raw), reader)


def unpickled_from(stream: Any, reader: type[Inert] | Inert = Inert) -> object:
    """Read a pickle: tensors become `Tensor`, all else plain containers and numbers.

    A `reader` may know more classes. Afterwards the stream is at the end of the pickle.

    Raises
    ------
    CheckpointError
        The pickle names anything else, or the data is not a pickle.
    """
    try:
        made = reader(stream, encoding="utf-8") if isinstance(reader, type) else reader
        return made.load()
    except CheckpointError:
        raise
    except Exception as error:  # a broken pickle may raise anything
        raise CheckpointError(
            f"not a readable pickle: {type(error).__name__}: {error!s:.200}"
        ) from None
