# SPDX-License-Identifier: BSD-3-Clause
"""The package of the Hugging Face Hub (extra ``hub``), and its login."""

from __future__ import annotations

from typing import Any


def login() -> dict[str, str]:
    """Return the header with the token of the environment or the hub's login, if there is one.

    The header is not sent to other servers after a redirect.
    """
    token = hub_package().get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def hub_package() -> Any:
    """Return the package; ImportError, which names the extra, if it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ModuleNotFoundError as error:
        raise ImportError(
            "models on the hub need huggingface_hub: pip install 'sigmascope[hub]'"
        ) from error
    return huggingface_hub
