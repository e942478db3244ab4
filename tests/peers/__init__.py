# SPDX-License-Identifier: BSD-3-Clause
"""The tests of other SVD packages, and their matrices, against this one: see README.md."""
