# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of a state dict that weights are, where the usage of their tensors names them.

Roles come from the name of the parameter; the tensor keeps its own. It is read with outputs as
rows, as that parameter is, so that the two compare. No two weights have one such name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from .views import Located, Reading


def certain_names(originals: Mapping[str, str], tensors: Mapping[str, Located]) -> dict[str, str]:
    """Return the names of the parameters that weights are, by the names of the tensors.

    Parameters
    ----------
    originals : mapping
        The name of the original weight of every tensor, which is its own unless it is quantised.
    tensors : mapping
        All tensors.
    """
    parameters = {name: tensors[name].entry.usage.parameter(originals[name]) for name in tensors}
    names = {name: parameter for name, parameter in parameters.items() if parameter is not None}
    counts = Counter(names.values())
    taken = set(originals.values())
    return {name: new for name, new in names.items() if counts[new] == 1 and new not in taken}


def inputs_first(tensors: Mapping[str, Located]) -> dict[str, bool | None]:
    """Return whether the rows of the stored tensors are inputs; None where it is not known."""
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
        The names, as `certain_names` returns them.

    Returns
    -------
    readings : dict
        All of them.
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
