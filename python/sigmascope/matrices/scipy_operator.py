# SPDX-License-Identifier: BSD-3-Clause
"""A matrix as a linear operator of SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sigmascope._host.keywords import public

from .matrix import multiply
from .sources import matrix

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


@public
def aslinearoperator(a: Any) -> LinearOperator:
    """Return a matrix as a ``scipy.sparse.linalg.LinearOperator`` (extra ``scipy``), in float64.

    Raises
    ------
    ImportError
        If SciPy is not installed.

    See Also
    --------
    matrix : Sources of a matrix.

    Examples
    --------
    >>> import numpy as np, sigmascope as ss
    >>> from scipy.sparse.linalg import svds
    >>> operator = ss.aslinearoperator(np.diag([3.0, 2.0, 1.0, 0.5]))
    >>> np.round(svds(operator, k=1, return_singular_vectors=False), 6)
    array([3.])
    """
    try:
        from scipy.sparse.linalg import LinearOperator
    except ImportError as error:
        message = "aslinearoperator needs SciPy: pip install 'sigmascope[scipy]'"
        raise ImportError(message) from error
    lazy = matrix(a)

    def forward(x: NDArray[Any]) -> NDArray[Any]:
        return multiply(lazy, np.asarray(x, dtype=np.float64))

    def adjoint(y: NDArray[Any]) -> NDArray[Any]:
        return multiply(lazy.T, np.asarray(y, dtype=np.float64))

    return LinearOperator(
        lazy.shape,
        matvec=forward,
        rmatvec=adjoint,
        matmat=forward,
        rmatmat=adjoint,
        dtype=np.float64,
    )
