# SPDX-License-Identifier: BSD-3-Clause
"""Let the package import a module for simulated devices, in every process with this folder.

Python imports this file at its start if the folder is in PYTHONPATH. The variable
SIMULATED_MODULE names the file of the module.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any


class SimulatedFinder:
    """Finder of the module for simulated devices, under the name of the package's own."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> ModuleSpec | None:
        if name != "sigmascope._cuda":
            return None
        return spec_from_file_location(name, os.environ["SIMULATED_MODULE"])


sys.meta_path.insert(0, SimulatedFinder)

# An environment may have a file of this name, which Python would have imported instead.
_others = [path for path in sys.path if path != os.path.dirname(__file__)]
_spec = PathFinder.find_spec("sitecustomize", _others)
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(module_from_spec(_spec))
