# SPDX-License-Identifier: BSD-3-Clause
"""Results that behave like the array of their values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray


class ArrayOfValues(NDArrayOperatorsMixin):
    """A result that behaves like its array `values` in arithmetic, comparisons and ufuncs.

    It has the attributes of the array, too. Results of all these are arrays without evidence:
    ``found / found[0]``, ``np.log(found)``, ``found.sum()``, ``found.shape``, ``found == other``.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    values: NDArray[np.float64]

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.generic]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        operands = [x.values if isinstance(x, ArrayOfValues) else x for x in inputs]
        return getattr(ufunc, method)(*operands, **options)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the array of the values; AttributeError if it has none."""
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.values, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *filter(str.isidentifier, dir(np.ndarray))})
