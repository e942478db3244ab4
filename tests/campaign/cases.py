# SPDX-License-Identifier: BSD-3-Clause
"""One case: a matrix, a function and its options, all from a campaign's seed and an index."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tests.support.known_products import FORMATS, INEXACT

from . import generators
from .gallery import Array
from .sequences import SEQUENCES
from .stored import DTYPES, EXPONENTS, LAYOUTS, PRODUCTS, rounded

FUNCTIONS = {
    "svds": 10,
    "randomized_svd": 4,
    "svdvals": 2,
    "spectrum": 4,
    "spectral_density": 3,
    "moments": 1,
    "low_rank": 1,
    "sketch": 1,
    "linear_sketch": 1,
    "gram_accumulator": 1,
    "moments_accumulator": 1,
}
"""Every public function that computes, and how often it is called."""


@dataclass(frozen=True)
class Case:
    """Everything that decides what is computed, beside the instruction set."""

    seed: int
    index: int
    kind: str
    matrix_seed: int
    m: int
    n: int
    dtype: str
    exponent: int
    layout: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.seed}:{self.index}"

    def numbers(self) -> Array:
        """The matrix as it is stored, exactly, in float64."""
        A = generators.make(self.kind, self.matrix_seed, self.m, self.n)
        return rounded(A, self.dtype, self.exponent)

    def matches(self, only: list[str]) -> bool:
        """Whether it is of a class, function, dtype or layout among these (of each sort named)."""
        of = (
            (self.kind, generators.EVERY),
            (self.function, FUNCTIONS),
            (self.dtype, DTYPES),
            (self.layout, EVERY_LAYOUT),
        )
        return all(mine in only for mine, known in of if not set(only).isdisjoint(known))

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def smaller(self, **changes: Any) -> Case:
        return replace(self, **changes)


EVERY_LAYOUT = (*LAYOUTS, *PRODUCTS)
TALL_EVERY = 50
"""Ordinary cases between two tall ones, which take as long as all of these together."""
PRODUCTS_EVERY = 10
"""Ordinary cases between two of products, the first after half as many."""
PRODUCTS_FROM = 10**6
"""The first case of products is one below the negative of this."""


def numbers(first: int, end: int) -> Iterator[int]:
    """Give the numbers of cases from `first` on: after 50 ordinary ones the next of the tall ones.

    Tall cases are -1, -2 and so on, and those of products -1000001, -1000002 and so on, so that no
    ordinary case has changed since there are any.
    """
    for index in range(first, end):
        yield index
        done = index + 1
        if done > 0 and done % TALL_EVERY == 0:
            yield -(done // TALL_EVERY)
        if done > 0 and done % PRODUCTS_EVERY == PRODUCTS_EVERY // 2:
            yield -(PRODUCTS_FROM + done // PRODUCTS_EVERY + 1)


def following(index: int) -> int:
    """The ordinary number from which `numbers` go on after this case."""
    if index < -PRODUCTS_FROM:
        return (-index - PRODUCTS_FROM) * PRODUCTS_EVERY - PRODUCTS_EVERY // 2
    return index + 1 if index >= 0 else -index * TALL_EVERY


def draw(seed: int, index: int) -> Case:
    """The case of this number: the same for ever, as long as this file and the classes are."""
    if index < 0:
        return (_tall if index >= -PRODUCTS_FROM else _products)(seed, index)
    rng = random.Random(f"{seed}:{index}")
    function = rng.choices(list(FUNCTIONS), list(FUNCTIONS.values()))[0]
    kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    m, n = _shape(rng, large=rng.random() < _LARGE_SHARE.get(function, 0.0))
    dtype = rng.choices(list(DTYPES), [6, 7, 1, 3, 1, 1])[0]
    if function in ("sketch", "linear_sketch", "gram_accumulator", "moments_accumulator"):
        layout = rng.choice(("plain", "fortran"))
    else:
        layout = rng.choices(LAYOUTS, [12, 2, 1, 1, 2, 1, 1, 1])[0]
    return Case(
        seed=seed,
        index=index,
        kind=kind,
        matrix_seed=rng.randrange(2**32),
        m=m,
        n=n,
        dtype=dtype,
        exponent=_exponent(rng, dtype, m * 2**16 if function == "low_rank" else m, n),
        layout=layout,
        function=function,
        options=OPTIONS[function](rng, m, n),
    )


def _tall(seed: int, index: int) -> Case:
    """A matrix with a side above 46,340, the largest whose square is below 2^31."""
    rng = random.Random(f"{seed}:{index}")
    function = rng.choices(list(FUNCTIONS), list(FUNCTIONS.values()))[0]
    reach, most = (10**6, 2 * 10**6) if rng.random() < 0.96 else (10**7, 10**7)
    m = round(math.exp(rng.uniform(math.log(46_340), math.log(reach))))
    n = rng.randint(1, min(40, max(most // m, 1)))
    of_rows = function in ("low_rank", "gram_accumulator")
    layouts = ("plain", "fortran", "transposed", "grid", "slice")
    options = OPTIONS[function](rng, m, n)
    if "columns" in options:
        options["columns"] = rng.randint(1, max(most // m, 1))
    if "width" in options:
        options["width"] = max(options["k"], min(options["width"], n + 8))
    parts = "parts" in options
    return Case(
        seed=seed,
        index=index,
        kind=rng.choice(list(generators.TALL)),
        matrix_seed=rng.randrange(2**32),
        **dict(zip(("m", "n"), (m, n) if of_rows or rng.random() < 0.5 else (n, m), strict=True)),
        dtype=rng.choices(list(DTYPES), [6, 7, 1, 3, 1, 1])[0],
        exponent=0,
        layout=rng.choice(layouts[:2] if parts else layouts),
        function=function,
        options=options,
    )


def _products(seed: int, index: int) -> Case:
    """A matrix that is known by its products: sparse, or a linear operator."""
    rng = random.Random(f"{seed}:{index}")
    function = rng.choices(("svds", "randomized_svd"), (3, 1))[0]
    if rng.random() < 0.5:
        kind = rng.choice(list(generators.SPARSE))
    else:
        kind = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    m, n = _shape(rng, large=rng.random() < 0.3)  # above order 256 norms are estimated
    sparse = rng.random() < 0.4
    layout = rng.choice([x for x in PRODUCTS if (x in FORMATS) == sparse])
    dtype = rng.choices(("f64", "f32"), (3, 2))[0]
    if layout in INEXACT:
        dtype = "f64"
    elif layout == "products in float32":
        dtype = "f32"
    exponent = _exponent(rng, dtype, m, n)
    if not sparse:  # whose own products are to be numbers of full precision
        reach = 900 if dtype == "f64" else 60
        exponent = max(-reach, min(reach, exponent))
    options = OPTIONS[function](rng, m, n)
    options.pop("panel_rows", None)
    if options.get("precision") in ("mixed", "split"):
        options["precision"] = "float32"
    return Case(
        seed=seed,
        index=index,
        kind=kind,
        matrix_seed=rng.randrange(2**32),
        m=m,
        n=n,
        dtype=dtype,
        exponent=exponent,
        layout=layout,
        function=function,
        options=options,
    )


_WEIGHTS = {kind: 3 if kind in SEQUENCES else 1 for kind in generators.CLASSES}
"""Sequences of values have parameters of many dimensions, and most of what was ever wrong."""
_LARGE_SHARE = {"spectrum": 0.15, "svds": 0.01, "spectral_density": 0.02}
_LARGE = 280
"""From about this order on a density is cheaper than every value."""


def _shape(rng: random.Random, *, large: bool) -> tuple[int, int]:
    least, most = rng.choices([(1, 48), (32, 128), (128, 400)], [45, 40, 15])[0]
    if large:
        least, most = _LARGE, 2 * _LARGE
    n = round(math.exp(rng.uniform(math.log(least), math.log(most))))
    m = n if rng.random() < 0.35 else round(n * math.exp(rng.uniform(0, math.log(4))))
    if rng.random() < 0.03:
        n = 1
    return (m, n) if rng.random() < 0.6 else (n, m)


def _exponent(rng: random.Random, dtype: str, m: int, n: int) -> int:
    if dtype not in EXPONENTS or rng.random() < 0.8:
        return 0
    least, most = EXPONENTS[dtype]
    most -= 1 + math.ceil(math.log2(m * n) / 2)  # that the Frobenius norm be a number too
    if rng.random() < 0.5:  # the ends
        return rng.choice((least + rng.randrange(40), most - rng.randrange(3)))
    return rng.randint(least, most)


def _shared(rng: random.Random) -> dict[str, Any]:
    """Options of every call, mostly left alone."""
    options: dict[str, Any] = {"num_threads": rng.choice((1, 1, 1, 2))}
    if rng.random() < 0.04:
        options["memory_limit"] = int(math.exp(rng.uniform(math.log(1e4), math.log(1e8))))
    if rng.random() < 0.05:
        options["panel_rows"] = rng.randrange(1, 70)
    return options


def _seed(rng: random.Random) -> dict[str, Any]:
    return {"seed": rng.choice((0, 0, rng.randrange(2**16)))}


def _rank(rng: random.Random, most: int) -> int:
    kind = rng.random()
    if kind < 0.05:
        return most
    if kind < 0.4:
        return rng.randint(1, min(most, 40))
    return max(1, min(most, round(math.exp(rng.uniform(0, math.log(most + 0.4))))))


def _svds(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    options = {
        "k": _rank(rng, min(m, n)),
        "tol": float(f"{10 ** -rng.uniform(1, 12):.1e}"),
        "method": rng.choices(("krylov", "auto", "gram"), (7, 2, 1))[0],
        "vectors": rng.random() < 0.6,
    }
    if rng.random() < 0.1:
        del options["tol"]
    if rng.random() < 0.5:
        options["block"] = rng.randint(1, 16)
    if rng.random() < 0.3:
        options["precision"] = rng.choice(("mixed", "split", "float32", "float64"))
    if rng.random() < 0.05:
        options["max_passes"] = rng.randint(1, 12)
    return options | _seed(rng) | _shared(rng)


def _randomized(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    options: dict[str, Any] = {"k": _rank(rng, min(m, n))}
    if rng.random() < 0.7:
        options["passes"] = rng.randint(1, 6)
    if rng.random() < 0.4:
        options["oversampling"] = rng.randint(0, 20)
    if rng.random() < 0.2:
        options["precision"] = rng.choice(("float32", "float64"))
    return options | _seed(rng) | _shared(rng)


def _svdvals(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    return {"accuracy": rng.choice(("reference", "fast"))} | _shared(rng)


def _spectrum(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    options: dict[str, Any] = {"effort": rng.choice(("top", "density", "density", "exact"))}
    options["k"] = _rank(rng, min(m, n))
    if min(m, n) >= _LARGE:
        options = {"effort": "density", "k": rng.randint(1, 16)}
    if rng.random() < 0.5:
        options["tol"] = float(f"{10 ** -rng.uniform(1, 8):.1e}")
    if rng.random() < 0.2:
        options["vectors"] = True
    if rng.random() < 0.1:
        options["accuracy"] = "fast"
    return options | _seed(rng) | _shared(rng)


def _density(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if rng.random() < 0.7:
        options = {"passes": rng.randint(4, 16), "probes": rng.choice((2, 4, 8, 16, 32))}
    if rng.random() < 0.2:
        options["precision"] = rng.choice(("split", "float32", "float64"))
    return options | _seed(rng) | _shared(rng)


def _low_rank(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    """The matrix is the factor B; A has `rows` columns, and scale is any."""
    return {"k": _rank(rng, min(m, n)), "columns": rng.randint(1, 64), "scale": rng.uniform(-3, 3)}


def _sketch(rng: random.Random, m: int, n: int) -> dict[str, Any]:
    k = _rank(rng, min(m, n))
    options = {"k": k, "parts": rng.randint(1, 6)} | _seed(rng)
    if rng.random() < 0.4:
        options["width"] = rng.randint(k, k + 40)
    return options


OPTIONS: dict[str, Any] = {
    "svds": _svds,
    "randomized_svd": _randomized,
    "svdvals": _svdvals,
    "spectrum": _spectrum,
    "spectral_density": _density,
    "moments": lambda rng, m, n: _shared(rng),
    "low_rank": _low_rank,
    "sketch": _sketch,
    "linear_sketch": _sketch,
    "gram_accumulator": _sketch,
    "moments_accumulator": lambda rng, m, n: {"parts": rng.randint(1, 6)},
}
