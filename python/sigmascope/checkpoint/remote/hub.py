# SPDX-License-Identifier: BSD-3-Clause
"""Models on the Hugging Face Hub, hf://org/model@revision (extras ``hub`` and ``remote``).

The hub's package finds the commit of the revision, the files, and the login. Ranges of bytes are
read from the address that the hub redirects to.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote, unquote

from sigmascope.errors import CheckpointError

from .hub_login import hub_package
from .paths import RemotePath
from .store import UrlStore

_URL = re.compile(
    r"hf://(?:models/)?(?P<repo>[\w.-]+(?:/[\w.-]+)?)"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<key>[^@]+))?"
)
_SECONDS = 30.0


def hub_path(url: str) -> RemotePath:
    """Return the path of a model, a folder or a file of it, at the commit of its revision.

    Parameters
    ----------
    url : str
        hf://org/model, hf://org/model@revision, hf://org/model@revision/folder/file. A revision is
        a branch, a tag or a commit.

    Raises
    ------
    CheckpointError
        The model or revision does not exist, this login has no access to it, or the hub cannot be
        reached.
    """
    match = _URL.fullmatch(url.rstrip("/"))
    if match is None:
        raise CheckpointError(f"{url}: an address on the hub has the form hf://org/model@revision")
    repo, revision = match["repo"], unquote(match["revision"] or "main")
    info = _info(repo, revision)
    names = frozenset(file.rfilename for file in info.siblings or ())
    endpoint = hub_package().constants.ENDPOINT if not _endpoint() else _endpoint()
    store = UrlStore(
        root=f"hf://{repo}@{info.sha}",
        url=f"{endpoint}/{repo}/resolve/{quote(info.sha or revision, safe='')}",
        listed=names,
    )
    return RemotePath(store, unquote(match["key"] or ""))


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/")


def _info(repo: str, revision: str) -> Any:
    package = hub_package()
    errors = package.errors
    where = f"hf://{repo}@{revision}"
    try:
        api = package.HfApi(endpoint=_endpoint() or None)
        return api.model_info(repo, revision=revision, timeout=_SECONDS)
    except errors.GatedRepoError:
        why = "the model is gated: request access on its page, then log in with `hf auth login`"
    except errors.RevisionNotFoundError:
        why = f"the model has no revision {revision!r}"
    except errors.RepositoryNotFoundError:
        why = (
            "there is no such model, or a private one: check its name, or log in with "
            "`hf auth login` or HF_TOKEN"
        )
    except errors.OfflineModeIsEnabled:
        why = "HF_HUB_OFFLINE is set: open the folder of the model in the cache of the hub"
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no status")
        why = f"the hub answers {status}: try again later"
    except Exception as error:  # of the package's HTTP client, whichever it is
        why = (
            f"the hub cannot be reached ({type(error).__name__}): check the network, or HF_ENDPOINT"
        )
    raise CheckpointError(f"{where}: {why}") from None
