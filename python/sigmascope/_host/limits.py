# SPDX-License-Identifier: BSD-3-Clause
"""Limits on what a file may request: all limits of readers, except in the annex `formats`.

Each limit is far above what real checkpoints need, and low enough that no file, whoever made it,
takes more than a small multiple of its own size in memory, or more than minutes. A file above a
limit is refused with an error that states both numbers.
"""

from __future__ import annotations

MAX_JSON_BYTES = 100_000_000
"""Largest size in bytes of a safetensors header, as in its reference reader, and of an index."""

MAX_CONFIG_BYTES = 10_000_000
"""Largest size in bytes of a config.json and of the settings of an adapter."""

MAX_JSON_VALUES = 16_000_000
"""Largest number of values in one JSON text: each takes some hundred bytes of memory."""

MAX_NAME = 1000
"""Longest name of a tensor, in characters; in nested dicts, all joined keys count."""

MAX_NAMES = 100_000_000
"""Largest total length of all names in one file, in characters."""

MAX_TENSORS = 1_000_000
"""Largest number of tensors and other entries in one file, and of entries in an index."""

MAX_DIMENSIONS = 64
"""Largest number of dimensions of a tensor, as in NumPy and PyTorch."""

MAX_GGUF_HEADER = 200_000_000
"""Largest size in bytes of the header of a GGUF file, with its lists of tokens."""

MAX_METADATA_ITEMS = 100_000
"""Largest number of keys in the metadata of a GGUF file."""

MAX_TEXT = 65_535
"""Longest key or name in the header of a file, as in GGUF, which allows no longer ones."""

MAX_GGUF_DIMENSIONS = 4
"""Largest number of dimensions of a tensor in a GGUF file, as in llama.cpp."""

MAX_NESTING = 100
"""Deepest nesting of dicts in a file that PyTorch saved, and of trees and graphs in others."""

MAX_NPY_HEADER = 10_000
"""Largest size in bytes of the header of a .npy file, as in NumPy."""

MAX_DIRECTORY_BYTES = 100_000_000
"""Largest size in bytes of the directory of a zip archive."""

MAX_PICKLE_STEPS = 10_000_000
"""Largest number of instructions in a pickle; one tensor takes about 40."""

MAX_PICKLE_BYTES = 100_000_000
"""Largest size in bytes of the pickle in a file that PyTorch saved."""

MAX_TABLE_BYTES = 4_000_000_000
"""Largest size in bytes of a saved scan or comparison."""

MAX_RULES_BYTES = 1_000_000
"""Largest size in bytes of a file of rules for roles."""

MAX_RULES = 10_000
"""Largest number of rules in a file of rules, including those for single model types."""

MAX_PATTERN_LETTERS = 10_000
"""Longest text of one regular expression in a file, in characters."""

MAX_RULE_LETTERS = 50_000
"""Longest text of a rule for roles, with its wrappers, parts and shorthands, in characters."""

MAX_PATTERNS = 100_000
"""Largest number of patterns in an adapter's settings, for ranks and for alphas each."""

MAX_PATTERN_TEXT = 200_000
"""Largest number of letters in the patterns of an adapter, for ranks and for alphas each.

A letter takes up to 50 us to compile where this was measured: 20 s for both.
"""

MAX_PATTERN_WORK = 15_000_000_000
"""Largest number of steps for matching every module of an adapter against its patterns.

A step takes at most 2.4 ns where this was measured: 36 s for all of them.
"""
