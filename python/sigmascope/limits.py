# SPDX-License-Identifier: BSD-3-Clause
"""How much a file may ask for: every limit of the readers, in one place.

Each is far above what real checkpoints have, and low enough that no file, whoever made it, takes
more than a small multiple of its own size in memory, or more than minutes. What is above one is
refused with both numbers.
"""

from __future__ import annotations

MAX_JSON_BYTES = 100_000_000
"""Of the header of a safetensors file, as in its reference reader, and of an index."""

MAX_CONFIG_BYTES = 10_000_000
"""Of a config.json, and of the settings of an adapter."""

MAX_JSON_VALUES = 16_000_000
"""Objects, lists and members of them in one JSON text: each takes some hundred bytes of memory."""

MAX_NAME = 1000
"""Letters of the name of a tensor; of nested dicts, of all their keys joined."""

MAX_NAMES = 100_000_000
"""Letters of all names of one file together."""

MAX_TENSORS = 1_000_000
"""Tensors, and other entries, of one file; entries of an index."""

MAX_DIMENSIONS = 64
"""Of a tensor, as in NumPy and PyTorch."""

MAX_NESTING = 100
"""Dicts within dicts in a file that PyTorch saved."""

MAX_NPY_HEADER = 10_000
"""Bytes of the header of a .npy file, as in NumPy."""

MAX_DIRECTORY_BYTES = 100_000_000
"""Of the directory of a zip archive."""

MAX_PICKLE_STEPS = 10_000_000
"""Instructions of a pickle: some 40 are a tensor."""

MAX_PICKLE_BYTES = 100_000_000
"""Of the pickle in a file that PyTorch saved."""

MAX_TABLE_BYTES = 4_000_000_000
"""Of a saved scan or comparison."""

MAX_RULES_BYTES = 1_000_000
"""Of a file of rules for roles."""

MAX_RULES = 10_000
"""Rules in such a file, with those for some models."""

MAX_PATTERN_STEPS = 2000
"""Of one regular expression in a file: letters, forks and places; repeats are written out."""

MAX_RULE_STEPS = 50_000
"""Of a rule for roles with all that is put into it: wrappers, parts and shorthands."""

MAX_PATTERN_LETTERS = 10_000
"""Of one regular expression in a file, as it is written."""

MAX_LOOK = 32
"""Letters that a regular expression in a file may look ahead or behind."""

MAX_PATTERNS = 100_000
"""Of an adapter's settings, each for ranks and for alphas."""

MAX_PATTERN_WORK = 300_000_000
"""Steps that looking up every module of an adapter in its patterns may take: letters of the longest
name, times the steps of a pattern, times modules and patterns; where `re` does it, one."""
