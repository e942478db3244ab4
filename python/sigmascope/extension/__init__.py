# SPDX-License-Identifier: BSD-3-Clause
"""Names for packages that extend sigmascope, including its own annexes.

- ``extension``: keywords of functions, files, words and statistics
- ``extension.readers`` and ``.quantised``: formats of checkpoints, and layouts of their weights
- ``extension.components``: signs and shares of vectors
- ``extension.tables``: rows of scans and comparisons
- ``extension.pages``, ``.plots`` and ``.commands``: parts of HTML pages, of plots (extra ``plot``)
  and of the command line (extra ``cli``)

sigmascope never imports a package that extends it. Such a package registers entry points, which
:func:`iter_registered` finds.
"""

from __future__ import annotations

from sigmascope._distributions import (
    clopper_pearson_upper,
    student_cdf,
    student_quantile,
    student_tail,
)
from sigmascope._host.cache import cache_folder
from sigmascope._host.files import read_regular
from sigmascope._host.keywords import explaining_keywords, public
from sigmascope._host.limits import MAX_TABLE_BYTES
from sigmascope._host.registered import RegistrationError, iter_registered
from sigmascope._host.replacing import naming, replacing
from sigmascope._words.text import counted, printable, short, writable

__all__ = [
    "MAX_TABLE_BYTES",
    "RegistrationError",
    "cache_folder",
    "clopper_pearson_upper",
    "counted",
    "explaining_keywords",
    "iter_registered",
    "naming",
    "printable",
    "public",
    "read_regular",
    "replacing",
    "short",
    "student_cdf",
    "student_quantile",
    "student_tail",
    "writable",
]
