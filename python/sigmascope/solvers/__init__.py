# SPDX-License-Identifier: BSD-3-Clause
"""One module for each computation on a matrix that the engine does."""
