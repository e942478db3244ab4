# SPDX-License-Identifier: BSD-3-Clause
"""A folder of tests for each room of the library, and what they share in `support`."""
