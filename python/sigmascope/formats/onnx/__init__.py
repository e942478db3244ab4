# SPDX-License-Identifier: BSD-3-Clause
"""Weights of ONNX models: initialisers as places of bytes, and their use by nodes."""
