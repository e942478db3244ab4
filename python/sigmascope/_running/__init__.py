# SPDX-License-Identifier: BSD-3-Clause
"""Long runs over many tensors: tasks, threads, executors, order and progress."""
