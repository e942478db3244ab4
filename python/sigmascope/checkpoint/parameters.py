# SPDX-License-Identifier: BSD-3-Clause
"""Weights that are known to be parameters of a state dict, from the usage of their tensors.

The parameter's name gives the role; the tensor keeps its own name. The tensor is read with outputs
as rows, like the parameter, so the two compare. Each parameter belongs to one weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from .views import Located, Reading


def certain_names(originals: Mapping[str, str], tensors: Mapping[str, Located]) -> dict[str, str]:
    """Return the parameter names of weights, by the names of the tensors.

    Parameters
    ----------
    originals : mapping
        The name of the original weight of every tensor; it differs only for quantised tensors.
    tensors : mapping
        All tensors.
    """
    parameters = {name: tensors[name].entry.usage.parameter(originals[name]) for name in tensors}
    names = {name: parameter for name, parameter in parameters.items() if parameter is not None}
    counts = Counter(names.values())
    taken = set(originals.values())
    return {name: new for name, new in names.items() if counts[new] == 1 and new not in taken}


def inputs_first(tensors: Mapping[str, Located]) -> dict[str, bool | None]:
    """Return whether the rows of the stored tensors are inputs; None if it is not known."""
    return {name: located.entry.usage.inputs_first for name, located in tensors.items()}


def as_parameters(
    readings: Mapping[str, Reading], names: Mapping[str, str], tensors: Mapping[str, Located]
) -> dict[str, Reading]:
    """Read matrices that are parameters with outputs as rows.

    Parameters
    ----------
    readings, tensors
        Those of all tensors.
    names : mapping
        The names from `certain_names`.

    Returns
    -------
    readings : dict
        All readings.
    """
    done, stored = dict(readings), inputs_first(tensors)
    for name, parameter in names.items():
        reading = readings[name]
        if reading.status != "matrix" or not stored[name]:
            continue
        (view,) = reading.views
        ((extent,),) = view.grid
        turned = replace(view, grid=((replace(extent, transposed=not extent.transposed),),))
        how = f"read as {parameter}, outputs as rows"
        how = "; ".join(filter(None, (reading.how, how)))
        done[name] = replace(reading, views=(turned,), how=how)
    return done
