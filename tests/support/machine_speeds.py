# SPDX-License-Identifier: BSD-3-Clause
"""Machines of a given speed, for plans that would else time the one on which they are made."""

from __future__ import annotations

import pytest

from sigmascope._execution import costs, rates

Machine = rates.Rates
"""The rates of all threads of a machine together, and the seconds that follow from them."""


def of_the_cost_model(*, threads: int, slower: float = 1.0) -> Machine:
    """Return the machine that the cost model describes, or one that is so many times slower."""
    products = {
        name: threads * costs.step_rate(name, 32) / slower
        for name in ("float32", "split", "mixed", "float64")
    }
    others = {"elements": 2e10 / slower, "eigen": 5e-11 * slower, "file": 1e9 / slower}
    return Machine(threads=threads, **products, **others)


def assume(patch: pytest.MonkeyPatch, machine: Machine) -> None:
    """Have plans made for a machine, which takes no time."""
    patch.setattr(rates, "measure", lambda threads, file=None: machine)


def assume_any(patch: pytest.MonkeyPatch) -> None:
    """Have plans made for a machine of the wanted number of threads, whatever its speed."""

    def measured(threads: int, file: object = None) -> Machine:
        return Machine(threads, 1e11, 1e11, 1e11, 1e11, 1e10, 1e-10, 1e9)

    patch.setattr(rates, "measure", measured)
