# SPDX-License-Identifier: BSD-3-Clause
"""The simulator lays fragments over lanes as NVIDIA's manual and CUTLASS do.

Both describe which lane and register has which element of a matrix, for `mma.m16n8k16` and for
`ldmatrix.m8n8.x4`. The manual states formulas, and CUTLASS has layouts that run on devices. Other
tests compare products by the kernels on the simulator with exact ones. A simulator that agrees
with both sources therefore shows that the kernels use fragments as these describe them.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from tests.support.cuda_builds import PLAIN, ROOT, built, compiler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.unsanitized,
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler"),
]

Integers: TypeAlias = npt.NDArray[Any]

LANES = 32


class Fragments(NamedTuple):
    """Rows and columns of the elements that a lane has: arrays of lanes and elements.

    A register of 32 bits has two elements of 16 bits, the first one in its low half. An element
    that `ldmatrix` loads is in the row of 16 bytes whose address the lane of that number gives.
    """

    rows: Integers
    columns: Integers

    def exchange(self, first: int, second: int) -> Fragments:
        """Return fragments whose lanes have two elements in each other's place."""
        order = np.arange(self.rows.shape[1])
        order[[first, second]] = second, first
        return Fragments(self.rows[:, order], self.columns[:, order])


class Source(NamedTuple):
    """Fragments of the matrices of D = A B + C, and of two forms of `ldmatrix`."""

    a: Fragments
    b: Fragments
    c: Fragments
    loaded: Fragments
    loaded_transposed: Fragments


SIZES = {
    "a": (16, 16),
    "b": (16, 8),
    "c": (16, 8),
    "loaded": (32, 8),
    "loaded_transposed": (32, 8),
}
"""Rows and columns of the matrices; `ldmatrix` loads four of 8 x 8, one below another."""

# ------------------------------------------------------------------------------- the manual


def read_manual() -> Source:
    """Return the fragments that "Parallel Thread Execution ISA" describes.

    Its section "Matrix Fragments for mma.m16n8k16 with floating point type" has formulas for the
    row and the column of element i of A, B and C, from `groupID` and `threadID_in_group`. Those for
    A and B are the ones for `.bf16`. Elements are listed from low to high.
    """
    lane = np.arange(LANES)[:, None]
    group, thread = lane >> 2, lane % 4
    i = np.arange(8)
    a_rows = np.where((i < 2) | (i == 4) | (i == 5), group, group + 8)
    a_columns = np.where(i < 4, thread * 2 + (i & 1), thread * 2 + (i & 1) + 8)
    i = np.arange(4)
    b_rows = np.where(i < 2, thread * 2 + (i & 1), thread * 2 + (i & 1) + 8)
    b_columns = np.broadcast_to(group, b_rows.shape)
    c_rows = np.where(i < 2, group, group + 8)
    c_columns = thread * 2 + (i & 1)
    return Source(
        Fragments(a_rows, a_columns),
        Fragments(b_rows, b_columns),
        Fragments(c_rows, c_columns),
        read_manual_of_loads(transposed=False),
        read_manual_of_loads(transposed=True),
    )


def read_manual_of_loads(*, transposed: bool) -> Fragments:
    """Return what the section "Warp-level matrix load instruction: ldmatrix" describes.

    Addresses 0 to 7 are those of the rows of the first matrix, 8 to 15 those of the second one, and
    so on. Each register has a fragment of one matrix, in their order. Four consecutive lanes load
    a row, so that two elements at a time go from row to row over the lanes. With `.trans` the
    matrix is loaded by columns.
    """
    matrix, half = np.divmod(np.arange(8), 2)
    row, column = np.divmod(2 * np.arange(LANES)[:, None] + half, 8)
    if transposed:
        row, column = column, row
    return Fragments(8 * matrix + row, column)


# ---------------------------------------------------------------------------------- CUTLASS

Nested: TypeAlias = "int | tuple[Nested, ...]"


def size_of(shape: Nested) -> int:
    return shape if isinstance(shape, int) else int(np.prod([size_of(mode) for mode in shape]))


def offset_of(shape: Nested, stride: Nested, index: int) -> int:
    """Return the offset of an index, whose coordinates in the shape count from the first mode up.

    It is the sum of the products of coordinates and strides: that is a layout of CuTe.
    """
    if isinstance(shape, int):
        assert isinstance(stride, int)
        return index * stride
    assert isinstance(stride, tuple)
    total = 0
    for mode, step in zip(shape, stride, strict=True):
        index, coordinate = divmod(index, size_of(mode))
        total += offset_of(mode, step, coordinate)
    return total


class Layout(NamedTuple):
    """A layout of CuTe from a thread and its value to an offset."""

    shape: tuple[Nested, Nested]
    stride: tuple[Nested, Nested]

    def offsets(self) -> Integers:
        """Return the offsets by threads and values."""
        threads, values = map(size_of, self.shape)
        offsets = [
            offset_of(self.shape, self.stride, thread + threads * value)
            for thread in range(threads)
            for value in range(values)
        ]
        return np.array(offsets).reshape(threads, values)


# <cute/atom/mma_traits_sm80.hpp>: SM80_16x8x16_F32BF16BF16F32_TN, which has the layouts of
# SM80_16x8x16_F16F16F16F16_TN. Offsets go down the columns of A (m, k), B (n, k) and C (m, n).
A_LAYOUT = Layout(((4, 8), (2, 2, 2)), ((32, 1), (16, 8, 128)))
B_LAYOUT = Layout(((4, 8), (2, 2)), ((16, 1), (8, 64)))
C_LAYOUT = Layout(((4, 8), (2, 2)), ((32, 1), (16, 8)))

# <cute/atom/copy_traits_sm75.hpp>: SM75_U32x4_LDSM_N and SM75_U16x8_LDSM_T. Values are bits, and
# an offset names the same bit at the lane that gives the address and at the lane that gets it.
SOURCE_LAYOUT = Layout((32, 128), (128, 1))
LOADED_LAYOUT = Layout((32, (32, 4)), (32, (1, 1024)))
LOADED_TRANSPOSED_LAYOUT = Layout(((4, 8), (16, 2, 4)), ((256, 16), (1, 128, 1024)))


def read_cutlass() -> Source:
    a_columns, a_rows = np.divmod(A_LAYOUT.offsets(), 16)
    b_rows, b_columns = np.divmod(B_LAYOUT.offsets(), 8)
    c_columns, c_rows = np.divmod(C_LAYOUT.offsets(), 16)
    return Source(
        Fragments(a_rows, a_columns),
        Fragments(b_rows, b_columns),
        Fragments(c_rows, c_columns),
        read_copy(LOADED_LAYOUT),
        read_copy(LOADED_TRANSPOSED_LAYOUT),
    )


def read_copy(layout: Layout) -> Fragments:
    """Return the elements of 16 bits that a layout of bits describes."""
    source = SOURCE_LAYOUT.offsets()
    place = np.empty(source.size, dtype=int)  # number of a bit in the rows, by its offset
    place[source.ravel()] = np.arange(source.size)
    bits = place[layout.offsets()].reshape(LANES, -1, 16)
    first = bits[..., 0]
    assert np.array_equal(bits, first[..., None] + np.arange(16)), "an element is not in one piece"
    assert not np.any(first % 16)
    rows, columns = np.divmod(first // 16, 8)
    return Fragments(rows, columns)


SOURCES = {"manual": read_manual(), "cutlass": read_cutlass()}


@pytest.mark.parametrize("name", Source._fields)
def test_sources_agree(name: str) -> None:
    manual, cutlass = (getattr(source, name) for source in SOURCES.values())
    assert np.array_equal(manual.rows, cutlass.rows)
    assert np.array_equal(manual.columns, cutlass.columns)
    rows, columns = SIZES[name]
    elements = sorted(zip(manual.rows.flat, manual.columns.flat, strict=True))
    assert elements == list(itertools.product(range(rows), range(columns)))  # each one once


# ----------------------------------------------------------------------------- the simulator

Run = Callable[[str, Integers], Integers]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, objects: Path) -> Run:
    """Return a function that executes an instruction, for every row of words once.

    It returns the four registers of every lane.
    """
    sources = [ROOT / "tests" / "cuda" / "fragments_main.cpp"]
    program = built(PLAIN, sources, tmp_path_factory.mktemp("fragments"), objects=objects)

    def execute(instruction: str, words: Integers) -> Integers:
        assert words.dtype == np.uint32
        command = [str(program), instruction]
        done = subprocess.run(command, input=words.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return np.frombuffer(done.stdout, dtype=np.uint32).reshape(len(words), LANES, 4)

    return execute


def pack(numbers: Integers) -> Integers:
    """Return registers of pairs of integers of at most 8 bits, which bf16 represents."""
    bits = numbers.astype(np.float32).view(np.uint32)
    assert not np.any(bits & 0xFFFF)
    return bits[..., 0::2] >> 16 | bits[..., 1::2]


class Products(NamedTuple):
    """Elements of lanes, as integers: of products, lanes and elements."""

    a: Integers
    b: Integers
    c: Integers

    def words(self) -> Integers:
        """Return the operands of every product as the program reads them."""
        sums = self.c.astype(np.float32).view(np.uint32)
        words = np.concatenate([sums, pack(self.a), pack(self.b)], axis=2)
        return words.reshape(len(words), -1)

    def expected(self, source: Source) -> Integers:
        """Return the elements of D = A B + C, by lanes."""
        a = scatter(source.a, self.a, SIZES["a"])
        b = scatter(source.b, self.b, SIZES["b"])
        c = scatter(source.c, self.c, SIZES["c"])
        d: Integers = (a @ b + c)[:, source.c.rows, source.c.columns]
        return d


def scatter(fragments: Fragments, numbers: Integers, size: tuple[int, int]) -> Integers:
    """Return the matrices whose elements lanes have."""
    matrices = np.zeros((len(numbers), *size), dtype=np.int64)
    matrices[:, fragments.rows, fragments.columns] = numbers
    return matrices


def number_elements(elements: int) -> Integers:
    """Return different numbers from 1 on for the elements of all lanes."""
    return 1 + np.arange(LANES * elements).reshape(1, LANES, elements)


def single_elements() -> Products:
    """Return products in which one element of A is 1 and the others are 0.

    An element of D is then the number of an element of C, times 256, plus that of an element of B
    or 0. All products together show which three elements belong together.
    """
    count = LANES * 8
    a = np.eye(count, dtype=np.int64).reshape(count, LANES, 8)
    b, c = number_elements(4), 256 * number_elements(4)
    return Products(a, np.repeat(b, count, axis=0), np.repeat(c, count, axis=0))


def random_elements(count: int) -> Products:
    rng = np.random.default_rng(1)
    return Products(*(rng.integers(-99, 100, (count, LANES, size)) for size in (8, 4, 4)))


PRODUCTS = {"single": single_elements(), "random": random_elements(20)}


@pytest.mark.parametrize("products", PRODUCTS.values(), ids=PRODUCTS)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_products_are_those_of_the_source(products: Products, source: Source, run: Run) -> None:
    results = run("mma", products.words()).view(np.float32)
    assert np.array_equal(results, products.expected(source))


FORMS = {"ldmatrix": "loaded", "ldmatrix.trans": "loaded_transposed"}
ROWS_OF_MEMORY = 64


def load_codes(instruction: str, fragments: Fragments, run: Run) -> tuple[Integers, Integers]:
    """Return the elements that lanes get and those they should get, from rows in random order.

    Every element of shared memory is the number of its row, of 64, and of its column.
    """
    codes = np.arange(ROWS_OF_MEMORY * 8, dtype=np.uint16).reshape(ROWS_OF_MEMORY, 8)
    rng = np.random.default_rng(2)
    named = np.array([rng.permutation(ROWS_OF_MEMORY)[:LANES] for _ in range(10)], dtype=np.uint32)
    memory = np.broadcast_to(codes.reshape(1, -1).view(np.uint32), (len(named), codes.size // 2))
    registers = run(instruction, np.concatenate([memory, named], axis=1))
    results = np.stack([registers & 0xFFFF, registers >> 16], axis=3).reshape(-1, LANES, 8)
    return results, codes[named[:, fragments.rows], fragments.columns]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("instruction", FORMS)
def test_loads_are_those_of_the_source(instruction: str, source: Source, run: Run) -> None:
    results, expected = load_codes(instruction, getattr(source, FORMS[instruction]), run)
    assert np.array_equal(results, expected)


# --------------------------------------------------------------------------- what is noticed


@pytest.mark.parametrize("name", Source._fields)
def test_exchanged_elements_are_noticed(name: str, run: Run) -> None:
    """Any two elements of every lane, in each other's place, give other results."""
    source = SOURCES["manual"]
    fragments: Fragments = getattr(source, name)
    instructions = {field: instruction for instruction, field in FORMS.items()}
    products = PRODUCTS["single"]
    right = products.expected(source)
    for pair in itertools.combinations(range(fragments.rows.shape[1]), 2):
        mistaken = fragments.exchange(*pair)
        if name in instructions:
            results, expected = load_codes(instructions[name], mistaken, run)
            assert not np.array_equal(results, expected), pair
        else:
            assert not np.array_equal(right, products.expected(source._replace(**{name: mistaken})))
