# SPDX-License-Identifier: BSD-3-Clause
"""The initialisers of ONNX models, as places of bytes; the onnx package is not needed.

The main graph and the bodies of If, Loop and Scan are read. Numbers may be in the model (raw_data,
or the list of their type), or in separate files whose paths do not leave the folder of the model.
Numbers stay where they are; only numbers that a model stores as varints are decoded on use.

Some exporters write weights as nodes of the operator Constant. Such a constant is read by the name
of its output if it has two or more floating point numbers, or holds codes, scales or zeros. Single
numbers and other integers serve to compute shapes and masks. Two bodies may have tensors of the
same name. The name of the later one in the file then begins with the output of its node and the
name of its attribute. Tensors in functions are not read; a note counts functions with tensors.

A weight has the orientation of its operator: for MatMul, and for Gemm without transB, it has a row
for each input, where PyTorch has a column. The orientation is changed only if the node says which
parameter of PyTorch it is (:mod:`sigmascope.formats.onnx.usage`). Names decide roles, as in any
format.
"""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial

from sigmascope.checkpoint import Header, Reader, TensorEntry, opened
from sigmascope.errors import CheckpointError
from sigmascope.extension.readers import (
    MAX_NESTING,
    MAX_TENSORS,
    Place,
    Stored,
    StoredSource,
    brief,
    checked_name,
    format_names,
    recognised,
    start_of,
)

from .external import Location, data_file, location_of
from .nodes import BODIES, CONVOLUTIONS, bodies_of, constant_of, read_node
from .protobuf import Field, WireStream
from .tensors import Initializer, read_initializer, read_integers
from .uses import BYTES_BY_NAME, Graph, set_arithmetic, set_consumers, set_uses, used_constants
from .varints import VarintNumbers

_MODEL_PRODUCER, _MODEL_GRAPH, _MODEL_FUNCTION = 2, 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15


def begins_with_producer(start: bytes) -> bool:
    """Return whether a file begins like an exported model: a small version, then a text.

    Core ML and TensorFlow write messages of the same form, but their second field is not a text.
    """
    if len(start) < 16 or start[0] != 8 or not 0 < start[1] < 32 or start[2] != 0x12:
        return False
    return start[3] < 128 and start[4 : 4 + min(start[3], 12)].isascii() and start[4] >= 32


def read_onnx(path: Place) -> tuple[Header, ...]:
    """Read and validate the initialisers of an ONNX model, without their numbers.

    Parameters
    ----------
    path : Path or RemotePath
        The model, whose folder has the files of external data.

    Returns
    -------
    tuple of Header
        One for the model, one for each file of external data, and one for the numbers that are
        varints. Memory is a small multiple of the names. The file is read in pieces of 4 KiB; long
        contents are skipped.

    Raises
    ------
    CheckpointError
        A file cannot be read or is not consistent, or a path leaves the folder. The message names
        the file, the tensor and the values that disagree.
    """
    with opened(path) as (file, stored):
        stream = WireStream(file, stored.size, path)
        tensors, producer, notes = _initializers(stream, file)
    inline = [each.entry(each.start) for each in tensors if each.is_inline]
    layout = producer if producer == BYTES_BY_NAME else ""
    headers = [Header(path, _by_offset(inline), {}, stored, notes, layout=layout)]
    headers += _external(path, tensors)
    if packed := [each for each in tensors if each.is_varints]:
        headers.append(_varints(path, stored, packed))
    return tuple(headers)


def chosen_model(folder: Place, names: Sequence[str]) -> str:
    """Return the one ONNX model among the files of a folder: model.onnx, or the only one.

    Raises
    ------
    CheckpointError
        There are several models, and no file has that name.
    """
    if "model.onnx" in names:
        return "model.onnx"
    if len(names) > 1:
        raise CheckpointError(
            f"{folder}: there are several ONNX models; open one of them: "
            f"{format_names(list(names))}"
        )
    return names[0]


class _Tensors:
    """The tensors of all graphs by name, and counts of unread tensors."""

    def __init__(self, stream: WireStream) -> None:
        self.stream = stream
        self.found: dict[str, Initializer] = {}
        self.unread: Counter[str] = Counter()
        self.kernels: set[str] = set()
        self.constants = 0

    def read(self, main: Field) -> None:
        """Collect the tensors of the main graph, then of the bodies."""
        graphs = deque([Graph(main)])
        done: list[Graph] = []
        while graphs:
            done.append(graphs.popleft())
            graphs.extend(self._read_graph(done[-1]))
        for name in self.kernels & self.found.keys():
            self.found[name].kernel = True
        integers = partial(read_integers, self.stream)
        set_arithmetic(done, integers)
        for graph, name in list(used_constants(done)):
            if name in graph.constants:
                constant = graph.constants.pop(name)
                assert isinstance(constant, Initializer)
                self._add(constant, graph)
        set_uses(done)
        set_consumers(done, integers)
        for tensor in self.found.values():
            consumer = None if tensor.use is None else tensor.use.consumer
            if consumer is not None and consumer.operator in CONVOLUTIONS:
                tensor.kernel = True

    def _read_graph(self, graph: Graph) -> list[Graph]:
        """Collect the initialisers and the constants of a graph; return the bodies within it."""
        stream, bodies = self.stream, list[Graph]()
        for part in stream.enter(graph.part, "the graph"):
            self.unread["sparse initialisers"] += part.number == _GRAPH_SPARSE_INITIALIZER
            if part.number == _GRAPH_INITIALIZER:
                self._add(read_initializer(stream, part), graph)
            elif part.number == _GRAPH_NODE:
                node = read_node(stream, part)
                graph.add(stream, node)
                if node.operator in CONVOLUTIONS:
                    self.kernels.add(node.input(1))
                inner = [
                    self._body(graph, body, f"{node.output}.{attribute}.")
                    for attribute, body in bodies_of(stream, node)
                ]
                self.unread["bodies of If, Loop and Scan"] += node.operator in BODIES and not inner
                bodies += inner
                if tensor := constant_of(stream, node):
                    constant = read_initializer(stream, tensor, node.output)
                    if constant.is_weight:
                        self._add(constant, graph)
                    else:
                        self.constants += 1
                        self._check_count()
                        graph.constants[constant.name] = constant
        return bodies

    def _body(self, graph: Graph, part: Field, name: str) -> Graph:
        if graph.depth == MAX_NESTING:
            raise CheckpointError(
                f"{self.stream.path}: graphs within {MAX_NESTING} others, which is the limit"
            )
        prefix = checked_name(graph.prefix + name, str(self.stream.path))
        return Graph(part, prefix, graph.depth + 1, graph)

    def _add(self, tensor: Initializer, graph: Graph) -> None:
        path = self.stream.path
        twice = CheckpointError(f"{path}: {tensor.label} is in the file twice")
        if tensor.name in graph.own:
            raise twice
        graph.own[tensor.name] = tensor
        if tensor.name in self.found:  # another graph has one of that name
            tensor.name = checked_name(graph.prefix + tensor.name, str(path))
        if tensor.name in self.found:
            raise twice
        self.found[tensor.name] = tensor
        self._check_count()

    def _check_count(self) -> None:
        if len(self.found) + self.constants > MAX_TENSORS:
            raise CheckpointError(
                f"{self.stream.path}: more than {MAX_TENSORS} initialisers, which is the limit"
            )


def _initializers(
    stream: WireStream, file: io.RawIOBase
) -> tuple[list[Initializer], str, tuple[str, ...]]:
    """Return the tensors of the graphs, the name of the producer, and notes on unread tensors."""
    if what := recognised(start_of(file)):
        raise CheckpointError(f"{stream.path}: not an ONNX model but {what}")
    tensors = _Tensors(stream)
    graphs, producer = 0, ""
    for part in stream.fields(stream.size, "the model"):
        if part.number == _MODEL_PRODUCER:
            producer = stream.text(part, "the name of the producer")
        tensors.unread["functions"] += part.number == _MODEL_FUNCTION
        if part.number == _MODEL_GRAPH:
            graphs += 1
            tensors.read(part)
    if graphs != 1:
        raise CheckpointError(f"{stream.path}: not an ONNX model: it has {graphs} graphs")
    kinds = ", ".join(f"{kind} ({count})" for kind, count in tensors.unread.items() if count)
    notes = (f"{stream.path.name}: tensors not read: those of {kinds}",) if kinds else ()
    return list(tensors.found.values()), producer, notes


def _external(path: Place, tensors: Sequence[Initializer]) -> list[Header]:
    """Return the headers of the files of external data, in the order of their names."""
    places: dict[str, list[tuple[Initializer, Location]]] = {}
    for each in tensors:
        if each.is_external:
            place = location_of(each.external, f"{path}: {each.label}", each.nbytes)
            places.setdefault(place.file, []).append((each, place))
    headers = []
    for name in sorted(places):
        stored = data_file(path, name, places[name][0][0].label)
        entries = [each.entry(place.offset) for each, place in places[name]]
        for entry in entries:
            if entry.offset + entry.nbytes > stored.size:
                raise CheckpointError(
                    f"{path}: tensor {brief(entry.name, 200)}: {entry.dtype} {list(entry.shape)} "
                    f"takes {entry.nbytes} bytes from byte {entry.offset} of {name} on, which ends "
                    f"at {stored.size}"
                )
        headers.append(Header(path.parent / name, _by_offset(entries), {}, stored))
    return headers


def _varints(path: Place, stored: Stored, packed: list[Initializer]) -> Header:
    source = VarintNumbers(str(path), stored, [each.packed() for each in packed])
    entries = tuple(each.entry(offset) for each, offset in zip(packed, source.starts, strict=True))
    return Header(path, entries, {}, StoredSource(source, path.name))


def _by_offset(entries: Sequence[TensorEntry]) -> tuple[TensorEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.offset))


READER = Reader("ONNX", (".onnx",), read_onnx, chosen=chosen_model, begins=begins_with_producer)
