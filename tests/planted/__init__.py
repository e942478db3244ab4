# SPDX-License-Identifier: BSD-3-Clause
"""Planted mistakes: what the tests notice when something breaks."""
