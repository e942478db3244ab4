# SPDX-License-Identifier: BSD-3-Clause
"""Results as Jupyter shows them."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.support import known_spectra

import sigmascope as ss
from sigmascope.results import Comparison, Scan

MOST_ROWS = 12
"""Rows of a view; the others are counted."""


class Cells(HTMLParser):
    """Texts of a view by their tags; every tag that is opened must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


A = known_spectra.exponential(40, 20)[0]


def test_triplets_have_values_and_residuals() -> None:
    result = ss.svds(A, 3)
    view = Cells(result._repr_html_())
    assert view.of("p") == [repr(result)]
    assert view.of("th") == ["i", "σ", "residual"]
    cells = view.of("td")
    assert len(cells) == 9
    assert [float(cell) for cell in cells[1::3]] == pytest.approx(result.s, rel=1e-3)
    assert [float(cell) for cell in cells[2::3]] == pytest.approx(result.residuals, rel=0.1)


def test_what_is_left_out_is_counted() -> None:
    cells = Cells(ss.svdvals(A)._repr_html_()).of("td")
    assert len(cells) == 2 * MOST_ROWS + 1
    assert cells[-1] == f"and {20 - MOST_ROWS} more"


def test_a_spectrum_has_every_measure() -> None:
    spectrum = ss.spectrum(A)
    cells = Cells(spectrum._repr_html_()).of("td")
    assert cells[0::3] == list(spectrum)
    assert cells[2::3] == [measure.basis for measure in spectrum.measures.values()]


def test_a_density_has_its_quantiles() -> None:
    density = ss.spectral_density(A)
    cells = Cells(density._repr_html_()).of("td")
    shares = [float(cell.rstrip("%")) / 100 for cell in cells[0::2]]
    sigma = [float(re.sub(r"[()]| ±.*", "", cell)) for cell in cells[1::2]]
    wanted = density.quantiles(np.array(shares))[0]
    assert shares == sorted(shares, reverse=True)
    assert sigma[:5] == pytest.approx(wanted[:5], rel=2e-3)


def test_tables_have_names_that_no_browser_obeys(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>.weight"
    many = {f"layers.{i}.weight": A * (i + 1) for i in range(MOST_ROWS + 1)}
    before: dict[str, Any] = {name: A, **many}
    save_file(before, tmp_path / "before.safetensors")
    save_file({key: x + 0.01 * A for key, x in before.items()}, tmp_path / "after.safetensors")
    scan = ss.scan(tmp_path / "before.safetensors")
    comparison = ss.compare(tmp_path / "before.safetensors", tmp_path / "after.safetensors")
    for result in (scan, comparison):
        html = result._repr_html_()
        assert "<script" not in html
        view = Cells(html)
        assert view.of("p") == [repr(result)]
        assert view.of("th")[:3] == ["tensor", "shape", "status"]
        assert name in view.of("td")
        assert view.of("td")[-1] == "and 2 more"


def test_a_spectrum_is_drawn() -> None:
    pytest.importorskip("matplotlib")
    import matplotlib.pyplot as plt

    large = known_spectra.exponential(400, 200)[0]
    spectrum = ss.spectrum(large, effort="density", k=5)
    ax = spectrum.plot()
    assert ax.lines[0].get_ydata()[:5] == pytest.approx(spectrum.top)
    assert spectrum.plot("density").get_xlabel() == "singular value σ"
    with pytest.raises(ValueError, match="kind is 'spectrum' or 'density', not 'bars'"):
        spectrum.plot("bars")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a density needs the effort 'density' or 'exact'"):
        dataclasses.replace(spectrum, values=None, density=None).plot("density")
    plt.close("all")


def test_the_help_of_a_table_has_no_list_of_columns() -> None:
    import pydoc

    for table in (Scan, Comparison):
        text = pydoc.plain(pydoc.render_doc(table))
        assert "columns)" in text
        assert len(text) < 9000
