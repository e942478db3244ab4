# SPDX-License-Identifier: BSD-3-Clause
"""The machine: threads, memory, files, the cache, and the compiled extension."""
