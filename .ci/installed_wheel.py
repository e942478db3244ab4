# SPDX-License-Identifier: BSD-3-Clause
"""Test an installed wheel where nothing but NumPy is installed: python .ci/installed_wheel.py."""

import importlib.metadata

import numpy as np

import sigmascope as ss
from sigmascope._display.html import page

print(ss.show_config())

A = np.diag([3.0, 2.0, 1.0]) @ np.eye(3, 5)
assert np.allclose(ss.svdvals(A), [3, 2, 1])
assert np.allclose(ss.svds(A, 2).s, [3, 2])
assert "<h1>" in page({"schema": "sigmascope.scan"}, [])

installed = list(map(str, importlib.metadata.files("sigmascope") or []))
for name in (
    "_libs/libscipy_openblas.so",
    "licenses/LICENSES/scipy-openblas32.txt",
    "py.typed",
    "_core.pyi",
):
    assert any(file.endswith(name) for file in installed), name
# One OpenBLAS: tools that repair wheels copy a library that they do not find at its place.
assert sum("openblas" in file and ".so" in file for file in installed) == 1, installed

# Readers of the annex and their quantised layouts need no other package.
for group, count in {"sigmascope.readers": 4, "sigmascope.quantised_layouts": 7}.items():
    points = importlib.metadata.entry_points(group=group)
    assert len([point.load() for point in points]) == count, points

# The module uses the library that came with it.
with open("/proc/self/maps", encoding="utf-8") as maps:
    used = {line.split()[-1] for line in maps if "openblas" in line}
assert any(path.endswith("/sigmascope/_libs/libscipy_openblas.so") for path in used), used
