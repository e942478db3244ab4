# SPDX-License-Identifier: BSD-3-Clause
"""Weights of ONNX models: initialisers as places of bytes, and what the nodes do with them."""
