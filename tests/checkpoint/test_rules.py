# SPDX-License-Identifier: BSD-3-Clause
"""Rules of a user's own: before those of the package, and refused with a reason if they are off."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import Stored, opened
from tests.support.roles import role_alone, roles_in_model

import sigmascope as ss
from sigmascope.checkpoint.naming.roles import Role, role_of
from sigmascope.errors import CheckpointError

NAME = "stack.cells.3.mix.key_map.weight"
OWN = r"""
layers = ['cells']
towers = [["vision", 'stack\.']]
prefixes = [["mixed_", 'mix\.']]
modules = [["k", 'key_map']]
"""
MEMBERS = tomllib.loads(OWN)


def test_a_users_rules_come_first(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(OWN)
    assert role_of(NAME) == Role(None, "other", "", None)
    opened(tmp_path, Stored(NAME, "F32", (4, 3)), Stored("lm_head.weight", "F32", (4, 3)))
    checkpoint = ss.open_checkpoint(tmp_path, rules=path)
    assert checkpoint.roles[NAME] == Role(3, "mixed_k", "vision", None)
    assert checkpoint.roles["lm_head.weight"].role == "unembed"
    assert pickle.loads(pickle.dumps(checkpoint)).roles == checkpoint.roles
    assert ss.open_checkpoint(tmp_path).roles[NAME].role == "other"


def digest_of(rules: Any) -> object:
    """The digest by which a scan says what rules gave its roles."""
    return ss.open_checkpoint({NAME: np.eye(3)}, rules=rules).choices["rules"]


def test_toml_json_and_a_mapping_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps(MEMBERS))
    (tmp_path / "rules.toml").write_text(OWN)
    sources = (tmp_path / "rules.json", tmp_path / "rules.toml", MEMBERS)
    assert [role_alone(NAME, rules=each) for each in sources] == [
        Role(3, "mixed_k", "vision", None)
    ] * 3
    assert len({digest_of(each) for each in sources}) == 1
    assert digest_of(MEMBERS) != digest_of({})


def test_a_rule_may_overrule_one_of_the_package() -> None:
    ends = ("q_proj.weight", "q_proj.bias", "k_proj.weight")
    names = [f"model.layers.0.self_attn.{end}" for end in ends]
    roles = roles_in_model(names, rules={"modules": [["value_map", r"self_attn\.q_proj"]]})
    assert [roles[name].role for name in names] == ["value_map", "value_map.bias", "k"]


def test_a_rule_may_look_at_what_stands_beside() -> None:
    rules = {"modules": [["gate", r"ff\.a", "b"], ["up", r"ff\.a"], ["down", r"ff\.b"]]}
    both = roles_in_model(["layers.0.ff.a.weight", "layers.0.ff.b.weight"], rules=rules)
    assert [role.role for role in both.values()] == ["gate", "down"]
    assert role_alone("layers.0.ff.a.weight", rules=rules).role == "up"


def test_rules_of_a_model_type(tmp_path: Path) -> None:
    name = "transformer.encoder.layers.0.mlp.dense_h_to_4h.weight"
    assert role_of(name).role == "up"
    chatglm = opened(tmp_path, Stored(name, "F32", (4, 3)), config={"model_type": "chatglm"})
    assert chatglm.roles[name] == Role(0, "gate_up", "text", None)
    own = {"models": [{"type": ["mine"], "modules": [["q", "dense_h_to_4h"]]}]}
    assert role_alone(name, "mine", own).role == "q"
    assert role_alone(name, "other", own).role == "up"


def test_caret_is_the_top_of_a_tower_and_shorthands_are_known() -> None:
    rules = {
        "shorthands": {"block": r"(?:cell|unit)"},
        "modules": [["probe", "^tail"], ["q", r"<block>\.first"], ["k", r"<attention>\.first"]],
    }
    tail = role_alone("model.vision_tower.tail.weight", rules=rules)
    assert tail == Role(None, "probe", "vision", None)
    assert role_alone("model.layers.0.tail.weight", rules=rules).role == "other"
    assert role_alone("unit.first.weight", rules=rules).role == "q"
    assert role_alone("my_attn.first.weight", rules=rules).role == "k"


def test_two_names_of_one_role_become_other_by_own_rules_too() -> None:
    rules = {"modules": [["same", "one|two"]]}
    roles = roles_in_model(["one.weight", "two.weight", "wte.weight"], rules=rules)
    assert [role.role for role in roles.values()] == ["other", "other", "embed"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"module": []}, "there are no rules 'module'; known: experts, layers, models, modul"),
        ({"modules": {}}, "modules {} is not a list"),
        ({"modules": [["q"]]}, r"modules, rule 1: \['q'\] is not of the form"),
        ({"modules": [["q", "a"], ["k", 3]]}, r"modules, rule 2: \['k', 3\] is not of the form"),
        ({"towers": [["a", "b", "c"]]}, r"towers, rule 1: .* is not of the form"),
        (
            {"modules": [["a role", "x"]]},
            "rule 1: 'a role' is not a name: letters, digits, _ and .",
        ),
        ({"modules": [["q", "("]]}, "rule 1: '\\(' is not a regular expression: missing \\)"),
        ({"modules": [["q", "(a)"]]}, r"rule 1: '\(a\)' has a group: write \(\?:...\)"),
        ({"layers": [3]}, "layers, rule 1: 3 is not a pattern"),
        ({"layers": ["("]}, "layers, rule 1: '\\(' is not a regular expression"),
        ({"shorthands": 3}, "shorthands 3 are not a table of text"),
        ({"shorthands": {"a": "("}}, "shorthands, a: '\\(' is not a regular expression"),
        ({"models": {}}, "models {} is not a list"),
        ({"models": [{"modules": []}]}, "models: type None is not a list of model types"),
        ({"models": [3]}, "models: type None is not a list of model types"),
        ({"models": [{"type": ["a"], "layers": []}]}, "models: there are no rules 'layers'"),
        ({"modules": [["q", "<unheard>"]]}, "'<unheard>': there is no shorthand <unheard>"),
    ],
)
def test_malformed_rules_are_refused(members: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        role_alone(NAME, rules=members)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rules.toml", "modules = [", "not TOML"),
        ("rules.json", "{", "not JSON"),
        ("rules.json", "[]", r"\[\] is not a table of rules"),
        ("rules.yaml", "", "rules must be a .toml or .json file, not '.yaml'"),
        ("rules.toml", "modul = []", "there are no rules 'modul'"),
    ],
)
def test_files_without_rules_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=f"{name}: {message}"):
        role_alone(NAME, rules=tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.toml: cannot be read: No such file"):
        role_alone(NAME, rules=tmp_path / "none.toml")


def test_a_scan_is_not_resumed_under_other_rules(tmp_path: Path) -> None:
    opened(tmp_path, Stored("a.weight", "F32", (12, 12)))
    run = tmp_path / "run.jsonl"
    scan = ss.scan(ss.open_checkpoint(tmp_path, rules={"modules": [["q", "a"]]}), resume=run)
    assert scan.rows[0]["role"] == "q"
    with pytest.raises(ValueError, match=r"rules was '.*', is None"):
        ss.scan(tmp_path, resume=run)
    other = {"modules": [["q", "a"]], "towers": [["vision", "a"]]}
    with pytest.raises(ValueError, match=r"rules was '(\w+)', is '(?!\1)\w+'"):
        ss.scan(ss.open_checkpoint(tmp_path, rules=other), resume=run)


@pytest.mark.parametrize(
    "more",
    [
        {"modules": [["q", "a"], ["k", "a"]]},
        {"towers": [["vision", "a"]]},
        {"prefixes": [["mixed_", "a"]]},
        pytest.param({"parts": [["blocks", "a"]]}, marks=pytest.mark.slow),  # compiles every rule
        {"layers": ["a"]},
        {"experts": ["a"]},
        {"wrappers": ["a"]},
        {"shorthands": {"a": "b"}},
        {"models": [{"type": ["mine"], "towers": [["vision", "a"]]}]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_tables_that_differ_in_one_rule_have_two_digests(more: dict[str, Any]) -> None:
    members: dict[str, Any] = {"modules": [["q", "a"]]}
    assert digest_of(members) != digest_of(members | more)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(".0123layersmpqkv_weight", max_size=60))
def test_any_name_has_a_role_by_any_rules(name: str) -> None:
    roles = roles_in_model([name, name + "x"], "chatglm", MEMBERS)
    assert set(roles) == {name, name + "x"}
    assert all(role.role for role in roles.values())
