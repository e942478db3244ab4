# SPDX-License-Identifier: BSD-3-Clause
"""The function open_adapter."""

from __future__ import annotations

from sigmascope._host.files import check_reading
from sigmascope._host.keywords import public
from sigmascope.checkpoint.naming.table import Source, read_table
from sigmascope.checkpoint.opening import place_of
from sigmascope.checkpoint.remote.paths import Location, shown_path

from .adapter import Adapter, AdapterOrigin


@public
def open_adapter(
    path: Location, *, rules: Source | None = None, reading: str = "buffered"
) -> Adapter:
    """Open a LoRA adapter in PEFT's layout: read and validate only settings and headers.

    Parameters
    ----------
    path : path-like or URL
        A folder with `adapter_config.json` and `adapter_model.safetensors` (or `.bin`), or with
        several such folders, or both.
    rules : path-like or mapping, optional
        Rules for roles, as for :func:`open_checkpoint`.
    reading : str
        As for :func:`open_checkpoint`.

    Returns
    -------
    Adapter
        A mapping from names of weights to :class:`LowRank`: s B A with s = alpha / r, or
        alpha / sqrt(r) with rsLoRA; `rank_pattern` and `alpha_pattern` are applied. Each matrix of
        a stacked parameter is an entry, `…experts.down_proj[0]`.

    Raises
    ------
    CheckpointError
        A file is invalid, or the adapter is not a LoRA adapter.
    ValueError
        `reading` is not a file mode.

    See Also
    --------
    open_checkpoint : A checkpoint of whole weights.
    compare : A model and an adapter of it.

    Examples
    --------
    >>> adapter = open_adapter("adapter/")                            # doctest: +SKIP
    >>> adapter["model.layers.0.mlp.up_proj.weight"].spectrum()      # doctest: +SKIP
    """
    table = None if rules is None else read_table(rules)
    where = place_of(path)
    origin = AdapterOrigin(where, table, check_reading(reading))
    return Adapter(shown_path(path, where), origin)
