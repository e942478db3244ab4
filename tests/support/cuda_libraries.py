# SPDX-License-Identifier: BSD-3-Clause
"""Libraries of CUDA as the package finds them: by their paths, and what they take."""

from __future__ import annotations

from sigmascope._execution import libraries

LEAST_ORDER = libraries.LEAST_ORDER
"""Order from which on cuSOLVER decomposes a Gram matrix, and not the processor."""

found_path = libraries.found_path
eigenvalue_nbytes = libraries.eigenvalue_nbytes
all_libraries = libraries.libraries


def find_libraries_anew() -> None:
    """Forget which libraries were found, and what they say that they take."""
    libraries._library.cache_clear()
    libraries._cusolver_nbytes.cache_clear()
