# SPDX-License-Identifier: BSD-3-Clause
"""Backends that compute on a CUDA device, and the limits of that device."""
