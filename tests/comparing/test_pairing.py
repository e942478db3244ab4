# SPDX-License-Identifier: BSD-3-Clause
"""Pairs of a comparison: which tensors belong together; nothing is guessed or left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.checkpoints import Stored, of_array, write_file
from tests.support.comparisons import OPTIONS, UP, Q, both, model, renamed, tuned
from tests.support.coverings import grid
from tests.support.scans import bits

import sigmascope as ss
from sigmascope.results import Comparison


def test_pairs_across_prefixes(tmp_path: Path) -> None:
    """An earlier tool compared such a checkpoint with itself."""
    base = model(prefix="model.")
    other = renamed(tuned(base), "model.", "model.language_model.")
    comparison = both(tmp_path, base, other)
    same = both(tmp_path / "same", base, tuned(base))
    assert comparison.unpaired == []
    for row, known in zip(comparison.rows, same.rows, strict=True):
        assert row["after"] == row["before"].replace("model.", "model.language_model.", 1)
        assert row["relative_change"] == known["relative_change"]
    assert all(row["relative_change"] > 0.01 for row in comparison.analysed)


def test_a_missing_partner_shifts_nothing(tmp_path: Path) -> None:
    base = model()
    other = tuned(base)
    gone = "model." + Q.format(0)
    lacking = {name: x for name, x in other.items() if name != gone}
    result, whole = both(tmp_path, base, lacking), both(tmp_path / "all", base, other)
    assert [row["name"] for row in result.unpaired] == [gone]
    assert result[gone]["reason"] == "after has neither a tensor of this name nor one that is " + (
        "text q of layer 0"
    )
    assert result[gone]["after"] is None
    for row in result.analysed:
        assert bits([row]) == bits([whole[row["name"]]])


def test_what_only_the_other_has_comes_last(tmp_path: Path) -> None:
    base = model()
    more = tuned(base) | {"model.visual.blocks.0.attn.proj.weight": np.ones((5, 6))}
    comparison = both(tmp_path, base, more)
    last = comparison.rows[-1]
    assert (last["before"], last["after"]) == (None, "model.visual.blocks.0.attn.proj.weight")
    assert (last["status"], last["tower"]) == ("unpaired", "vision")
    assert last["reason"] == (
        "before has neither a tensor of this name nor one that is vision o of layer 0"
    )


def test_filters_shift_no_row(tmp_path: Path) -> None:
    base = model()
    other = renamed(tuned(base), "model.", "")
    whole = both(tmp_path, base, other)
    comparison = both(tmp_path, base, other, include="*up_proj*", exclude="*.0.*")
    assert [row["name"] for row in comparison.analysed] == ["model." + UP.format(1)]
    assert bits(comparison.analysed) == bits([whole["model." + UP.format(1)]])
    assert len(comparison) == len(whole)
    assert {row["reason"] for row in comparison.rows if row["status"] == "excluded"} == {
        "matches no include pattern",
        "matches '*.0.*'",
    }
    with pytest.raises(ValueError, match="no tensor matches 'nothing'"):
        both(tmp_path, base, other, include="nothing")


def test_unknown_roles_pair_by_their_names_alone(tmp_path: Path) -> None:
    w = np.random.default_rng(0).standard_normal((6, 5))
    comparison = both(tmp_path, {"a": w, "same": w}, {"b": 2 * w, "same": w})
    assert [row["status"] for row in comparison.rows] == ["unpaired", "analysed", "unpaired"]
    assert comparison["a"]["reason"] == (
        "after has no tensor of this name, and the role is unknown"
    )


def test_what_could_be_several_is_called_so(tmp_path: Path) -> None:
    """Two whole copies of a model in one checkpoint: neither is chosen."""
    base = model(layers=1)
    name = "model." + Q.format(0)
    twice = renamed(base, "model.", "x.model.") | renamed(base, "model.", "y.model.")
    comparison = both(tmp_path, base, twice, include="*q_proj*")
    assert comparison.analysed == []
    assert comparison[name]["status"] == "unpaired"
    assert {row["status"] for row in comparison.rows} == {"unpaired", "excluded"}


def test_experts_in_a_stack_pair_with_experts_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stem = "model.layers.0.mlp.experts."
    stack = rng.standard_normal((3, 8, 6))
    single = {f"{stem}{i}.down_proj.weight": stack[i] + 0.1 for i in range(3)}
    comparison = both(tmp_path, {f"{stem}down_proj": stack}, single)
    assert [(row["before"], row["after"]) for row in comparison.rows] == [
        (f"{stem}down_proj[{i}]", f"{stem}{i}.down_proj.weight") for i in range(3)
    ]
    assert [row["expert"] for row in comparison.analysed] == [0, 1, 2]
    assert [row["relative_change"] for row in comparison.analysed] == pytest.approx(
        [0.1 * np.sqrt(48) / np.linalg.norm(x) for x in stack], rel=1e-5
    )


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "lm_head.weight"])
def test_resized_vocabularies_compare_on_the_common_rows(tmp_path: Path, name: str) -> None:
    base = model(layers=1)
    base[name] = base["model.embed_tokens.weight"].copy()
    more = tuned(base)
    common = more[name][:60]
    more[name] = np.vstack([common, np.full((4, 24), 7.0)])
    row = both(tmp_path, base, more)[name]
    assert row["status"] == "analysed"
    assert row["notes"].startswith(
        "60 x 24 before, 64 x 24 after: only the first 60 rows are compared"
    )
    assert (row["rows"], row["before_shape"], row["after_shape"]) == (60, [60, 24], [64, 24])
    size = np.linalg.norm(common - base[name]) / np.linalg.norm(base[name])
    assert row["relative_change"] == pytest.approx(size, rel=1e-5)
    back = both(tmp_path / "back", more, base)
    assert (back[name]["rows"], back[name]["status"]) == (60, "analysed")
    assert not back.verdict.complete  # of 64 rows 60 were compared
    assert both(tmp_path / "same", base, base).verdict.complete


def test_other_shapes_are_listed_with_both(tmp_path: Path) -> None:
    base = model(layers=1)
    name = "model." + UP.format(0)
    other = tuned(base) | {name: base[name].T}
    row = both(tmp_path, base, other)[name]
    assert (row["status"], row["reason"]) == (
        "unpaired",
        "shapes differ: 40 x 24 before, 24 x 40 after",
    )
    assert (row["before"], row["after"]) == (name, name)


def test_every_tensor_of_both_is_in_the_result(tmp_path: Path) -> None:
    base = model(layers=1) | {"extra": np.ones((3, 4))}
    other = renamed(tuned(model(layers=1)), "model.", "") | {"more": np.ones((3, 4))}
    comparison = both(tmp_path, base, other)
    assert sorted(row["before"] for row in comparison.rows if row["before"]) == sorted(base)
    assert sorted(row["after"] for row in comparison.rows if row["after"]) == sorted(other)
    norm = comparison["model.layers.0.input_layernorm.weight"]
    assert (norm["status"], norm["kind"]) == ("entrywise", "vector")
    assert norm["after"] == "layers.0.input_layernorm.weight"
    assert all(set(row) == set(Comparison.schema.columns) for row in comparison.rows)


def test_weights_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    w = np.ones((4, 4), np.float32)
    one = write_file(tmp_path / "a.safetensors", of_array("w", "F32", w))
    two = write_file(tmp_path / "b.safetensors", Stored("w", "F4", (4, 4)))
    comparison = ss.compare(one, two, **OPTIONS)
    row = comparison["w"]
    assert (row["status"], row["kind"]) == ("not analysed", "unreadable")
    assert row["reason"].startswith("after: ")
    assert comparison.unreadable == [row]


def blocks(prefix: str = "", more: int = 0) -> dict[str, np.ndarray]:
    """Tensors whose roles are not known; two kinds of names that begin with the same letters."""
    rng = np.random.default_rng(3)
    names = [f"enc.{i}.thing" for i in range(3)] + ["ending.thing"]
    names += [f"more.{i}.thing" for i in range(more)]
    return {prefix + name: rng.standard_normal((9, 7)) for name in names}


def removed(before: str, after: str) -> str:
    """Write the prefix of each checkpoint that has one."""
    sides = {"before": before, "after": after}
    return " and ".join(f"the prefix {word!r} of {side}" for side, word in sides.items() if word)


@grid(
    prefixes={
        "model after": ("", "model."),
        "module before": ("module.", ""),
        "two words after": ("", "_orig_mod.module."),
        "two words and one": ("model.net.", "module."),
        "a graph and model": ("F0::If_0_then_branch__Inline_0__", "model."),
        "a graph before": ("F0::If_0_then_branch__Inline_0__", ""),
    },
    extra={"the same tensors": (0, 0), "more before": (2, 0), "more after": (0, 2)},
)
def test_one_prefix_before_every_name(
    tmp_path: Path, prefixes: tuple[str, str], extra: tuple[int, int]
) -> None:
    """Wrappers put a prefix before every name; one checkpoint may have tensors of its own."""
    prefix, other = prefixes
    words = removed(prefix, other)
    base, tuned_base = blocks(prefix, extra[0]), blocks(other, extra[1])
    result = both(tmp_path, base, {name: 1.01 * x for name, x in tuned_base.items()})
    assert len(result.analysed) == 4
    for row in result.analysed:
        assert row["after"].removeprefix(other) == row["before"].removeprefix(prefix)
        assert row["relative_change"] == pytest.approx(0.01, rel=1e-4)
        assert row["notes"].split("; ")[0] == f"paired by name without {words}"
    assert len(result.unpaired) == sum(extra)
    [remark] = [note for note in result.notes if "prefix" in note]
    assert remark == f"4 pairs have the same name only without {words}"


def test_prefixes_that_explain_not_all_pair_nothing(tmp_path: Path) -> None:
    """One name without a counterpart, one other shape, or two ways to pair: nothing is guessed."""
    base = blocks()
    other = blocks("model.")
    lacking = {name: x for name, x in other.items() if "ending" not in name} | {
        "model.x.thing": np.ones((9, 7))
    }
    reshaped = other | {"model.ending.thing": np.ones((7, 9))}
    twice = other | blocks("copy.")
    for i, changed in enumerate((lacking, reshaped, twice)):
        result = both(tmp_path / str(i), base, changed)
        assert result.analysed == []
        assert len(result.unpaired) == len(base) + len(changed)


def test_single_tensors_pair_if_one_name_ends_with_the_other(tmp_path: Path) -> None:
    w = np.random.default_rng(0).standard_normal((6, 5))
    pairs = {("w", "module.w"): 1, ("module.w", "w"): 1, ("w", "ww"): 0, ("a.w", "b.w"): 0}
    for i, ((before, after), count) in enumerate(pairs.items()):
        result = both(tmp_path / str(i), {before: w}, {after: w})
        assert len(result.analysed) == count
        for row in result.analysed:
            words = removed(before.removesuffix("w"), after.removesuffix("w"))
            assert row["notes"].split("; ")[0] == f"paired by name without {words}"
    assert both(tmp_path / "more", {"w": w}, {"a.w": w, "b": w}).analysed == []


def test_prefixes_do_not_join_unlike_places(tmp_path: Path) -> None:
    """Two layers that each model has alone are not the same layers."""
    rng = np.random.default_rng(1)
    base = {f"model.{Q.format(i)}": rng.standard_normal((6, 6)) for i in (2, 3)}
    other = {f"model.{UP.format(i)}": rng.standard_normal((6, 6)) for i in (2, 3)}
    assert both(tmp_path, base, other).analysed == []
