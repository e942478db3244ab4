# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are killed before each of their operations on files of a folder, and continued."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

_DRIVER = """
import importlib, itertools, json, os, signal, sys
from pathlib import Path

text, folder, arguments = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
run = {}
exec(text, run)
operations = "open", "os.", "shutil.", "tempfile."


def forked(out, last=None):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = itertools.count()

    def hook(event, values):
        if event.startswith(operations) and any(str(out) in str(value) for value in values):
            if next(count) == last:
                os.kill(os.getpid(), signal.SIGKILL)

    if last is not None:
        sys.addaudithook(hook)
    try:
        run["run"](str(out), *arguments)
        modules.write_text("\\n".join(sys.modules))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


modules = folder / "modules"
forked(folder / "first")
for name in modules.read_text().splitlines():
    importlib.import_module(name)  # once, not in every child
for last in itertools.count():
    out = folder / f"killed-{last:03}"
    if not forked(out, last):
        break
    if forked(out):
        sys.exit(f"the run that was killed before operation {last} does not go on")
"""


def killed_at_every_operation(run: str, folder: Path, *arguments: Path) -> list[Path]:
    """Kill a run before each operation on files of its folder; continue each of these runs.

    Parameters
    ----------
    run
        Source of a function `run(out, *arguments)`, which writes to the folder `out`.
    folder
        Folder of the folders that the runs write.
    arguments
        Further paths.

    Returns
    -------
    list of Path
        A folder for each operation; the last one is that of a run that was not killed.
    """
    folder.mkdir()
    paths = json.dumps(list(map(str, arguments)))
    subprocess.run([sys.executable, "-c", _DRIVER, run, folder, paths], check=True)
    return sorted(folder.glob("killed-*"))
