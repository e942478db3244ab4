# SPDX-License-Identifier: BSD-3-Clause
"""Extensions of Sphinx that make parts of the documentation site."""
