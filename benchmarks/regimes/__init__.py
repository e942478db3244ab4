# SPDX-License-Identifier: BSD-3-Clause
"""The controlled experiment on breadth of data: corpus, model, training, plan, report."""
