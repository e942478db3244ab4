# SPDX-License-Identifier: BSD-3-Clause
"""Merges that mergekit itself makes of models of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sigmascope.provenance import Verification, verify

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers", minversion="5.0")
pytest.importorskip("mergekit")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of both packages

SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 100}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2}


def llama() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES))


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two models whose weights are 2 % away from it."""
    folder = tmp_path_factory.mktemp("models") / request.param
    dtype = getattr(torch, request.param)
    torch.manual_seed(0)
    base = llama().to(dtype)
    base.save_pretrained(folder / "base")
    for name in ("one", "other"):
        model = llama().to(dtype)
        with torch.no_grad():
            for own, weight in zip(model.parameters(), base.parameters(), strict=True):
                size = 0.02 * weight.float().std().clamp(min=0.01)
                own.copy_((weight.float() + size * torch.randn(weight.shape)).to(dtype))
        model.save_pretrained(folder / name)
    return folder


def merged_by_mergekit(
    models: Path, out: Path, method: str, *, weights: dict[str, Any], half: bool, **settings: Any
) -> Verification:
    """Merge, and verify the file with the claim that some weights explain it.

    The merger computes in the models' format if `half` is True, and in float32 otherwise.
    """
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    dtype = models.name
    listed = [
        {"model": str(models / name), "parameters": parameters}
        for name, parameters in weights.items()
    ]
    how = {"dtype": dtype} if half else {"dtype": "float32", "out_dtype": dtype}
    record = {"merge_method": method, "models": listed, **how, **settings}
    configuration = MergeConfiguration.model_validate(record)
    run_merge(configuration, str(out), MergeOptions(copy_tokenizer=False, quiet=True))
    donors = [models / name for name in weights if name != "base"]
    return verify(models / "base", out, donors, expect="linear")


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("method", "weights", "settings"),
    [
        ("linear", {"base": 0.4, "one": 0.35, "other": 0.25}, {}),
        ("linear", {"base": 0.4, "one": 0.35, "other": 0.25}, {"parameters": {"normalize": False}}),
        ("linear", {"base": 1.6, "one": 1.4, "other": 1.0}, {}),
        ("task_arithmetic", {"one": 0.6, "other": 0.3}, {}),
        ("task_arithmetic", {"one": -0.5}, {}),
    ],
)
def test_a_linear_merge_has_its_weights(
    models: Path,
    method: str,
    weights: dict[str, float],
    settings: dict[str, Any],
    half: bool,
    tmp_path: Path,
) -> None:
    """mergekit rounds weights to the format that it computes in."""
    each = {name: {"weight": weight} for name, weight in weights.items()}
    if method != "linear":
        settings = {"base_model": str(models / "base")}
    result = merged_by_mergekit(models, tmp_path, method, weights=each, half=half, **settings)
    assert result.verdict == "confirmed", result.sentences
    assert result.weights is not None
    total = sum(weights.values()) if method == "linear" else 1
    for interval, weight in zip(result.weights, _of_donors(weights), strict=True):
        rounded = float(torch.tensor(weight, dtype=getattr(torch, models.name)))
        truths = [weight / total, rounded] if half else [weight / total]
        assert any(interval.low <= truth <= interval.high for truth in truths)
        assert interval.high - interval.low < (2.0**-7 * abs(weight) if half else 1e-5)
    claim = ",".join(repr(1.01 * weight / total) for weight in _of_donors(weights))
    donors = [models / name for name in weights if name != "base"]
    assert verify(models / "base", tmp_path, donors, expect=f"weights={claim}").verdict == "refuted"


def _of_donors(weights: dict[str, float]) -> list[float]:
    return [weight for name, weight in weights.items() if name != "base"]


def test_a_position_on_a_sphere_is_found(models: Path, tmp_path: Path) -> None:
    """Vectors 2 % apart are so near to parallel that mergekit's rule is linear."""
    base = str(models / "base")
    each: dict[str, Any] = {"base": None, "one": None}
    settings = {"base_model": base, "parameters": {"t": 0.4}}
    result = merged_by_mergekit(models, tmp_path, "slerp", weights=each, half=False, **settings)
    assert result.verdict == "confirmed"
    assert result.weights is not None
    assert result.weights[0].low <= 0.4 <= result.weights[0].high


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("method", "kind"), [("ties", "trimmed"), ("dare_linear", "dropped at random")]
)
def test_changes_that_were_left_out(
    models: Path, method: str, kind: str, half: bool, tmp_path: Path
) -> None:
    each = {"one": {"weight": 1.0, "density": 0.5}}
    settings = {"base_model": str(models / "base")}
    result = merged_by_mergekit(models, tmp_path, method, weights=each, half=half, **settings)
    assert result.verdict == "refuted"
    matrices = [row for row in result.rows if row["status"] == "unexplained" and row["layer"] == 0]
    assert {row["explanation"]["kind"] for row in matrices if row["numbers"] > 64} == {kind}


def test_layers_of_several_models(models: Path, tmp_path: Path) -> None:
    """Passthrough: each tensor is that of one model."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    slices = [
        {"sources": [{"model": str(models / name), "layer_range": [k, k + 1]}]}
        for k, name in enumerate(("one", "other"))
    ]
    record = {"merge_method": "passthrough", "slices": slices, "dtype": models.name}
    configuration = MergeConfiguration.model_validate(record)
    run_merge(configuration, str(tmp_path), MergeOptions(copy_tokenizer=False, quiet=True))
    donors = [models / "one", models / "other"]
    result = verify(models / "base", tmp_path, donors)
    assert any("Tensors come from several models: layer 0 and" in each for each in result.sentences)


def test_weights_that_grow_with_the_layer(models: Path, tmp_path: Path) -> None:
    each = {"one": {"weight": [0.2, 0.8]}}
    settings = {"base_model": str(models / "base")}
    method = "task_arithmetic"
    result = merged_by_mergekit(models, tmp_path, method, weights=each, half=False, **settings)
    assert result.verdict == "refuted"
    assert result.pattern is not None
    assert result.pattern["kind"] == "by layer"


def test_a_model_stock(models: Path, tmp_path: Path) -> None:
    each: dict[str, Any] = {"one": None, "other": None}
    settings = {"base_model": str(models / "base")}
    result = merged_by_mergekit(
        models, tmp_path, "model_stock", weights=each, half=False, **settings
    )
    assert result.pattern is not None
    assert result.pattern["kind"] == "model stock"
