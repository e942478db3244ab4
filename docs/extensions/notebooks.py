# SPDX-License-Identifier: BSD-3-Clause
"""Notebooks as Markdown: their blocks of Python are run, and what they print and draw is inserted.

The files are notebooks in the Markdown format of Jupytext. One that is run here needs no Jupyter.
"""

from __future__ import annotations

import base64
import io
import re
from contextlib import redirect_stdout

CELL = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def executed(page: str, text: str) -> str:
    """Return the text of a notebook with the output of each cell below it.

    Parameters
    ----------
    page : str
        Name of the page, for messages.
    text : str
        Markdown. Cells share one namespace and run in their order.

    Raises
    ------
    RuntimeError
        If a cell raises an exception, whose message is repeated.
    """
    names: dict[str, object] = {}

    def with_output(cell: re.Match[str]) -> str:
        line = text.count("\n", 0, cell.start()) + 2
        try:
            return cell[0] + output_of(cell[1], f"{page}.md", names)
        except Exception as error:
            raise RuntimeError(f"{page}.md, cell at line {line}: {error!r}") from error

    return CELL.sub(with_output, text)


def output_of(code: str, name: str, names: dict[str, object]) -> str:
    """Run one cell; return what it printed, and its figures, as Markdown."""
    import matplotlib

    matplotlib.use("agg")
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(code, name, "exec"), names)
    parts = [f"```text\n{printed.getvalue()}```\n"] if printed.getvalue() else []
    return "".join("\n" + part for part in [*parts, *figures()])


def figures() -> list[str]:
    """Return the open figures of matplotlib as images within the page, and close them."""
    import matplotlib.pyplot as plt

    found = []
    for number in plt.get_fignums():
        figure = plt.figure(number)
        axes = figure.axes[0]
        with io.BytesIO() as image:
            figure.savefig(image, format="png", dpi=144)
            data = base64.b64encode(image.getvalue()).decode("ascii")
        described = f"Plot: {axes.get_ylabel()} against {axes.get_xlabel()}"
        found.append(
            f'```{{raw}} html\n<img class="figure" alt="{described}" '
            f'src="data:image/png;base64,{data}">\n```\n'
        )
        plt.close(figure)
    return found
