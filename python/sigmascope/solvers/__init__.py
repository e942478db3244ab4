# SPDX-License-Identifier: BSD-3-Clause
"""The computations of the engine on a matrix, one module for each."""
