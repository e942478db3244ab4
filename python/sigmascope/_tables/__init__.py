# SPDX-License-Identifier: BSD-3-Clause
"""Tables of results: their schema, files, journals and provenance."""
