# SPDX-License-Identifier: BSD-3-Clause
"""Rules of a user's own: before those of the package, and refused with a reason if they are off."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.checkpoints import Stored, opened

import sigmascope as ss
from sigmascope.checkpoint.naming.roles import Role, role_of, roles_of
from sigmascope.checkpoint.naming.rules import compiled, read_table, rules_for, standard_table

NAME = "stack.cells.3.mix.key_map.weight"
OWN = r"""
layers = ['cells']
towers = [["vision", 'stack\.']]
prefixes = [["mixed_", 'mix\.']]
modules = [["k", 'key_map']]
"""


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


def test_toml_json_and_a_mapping_say_the_same(tmp_path: Path) -> None:
    members = tomllib.loads(OWN)
    (tmp_path / "rules.json").write_text(json.dumps(members))
    (tmp_path / "rules.toml").write_text(OWN)
    tables = [read_table(tmp_path / "rules.json"), read_table(tmp_path / "rules.toml")]
    assert tables == [read_table(members)] * 2
    assert tables[0].digest == tables[1].digest != standard_table().digest


def test_a_rule_may_overrule_one_of_the_package() -> None:
    own = read_table({"modules": [["value_map", r"self_attn\.q_proj"]]})
    rules = rules_for(own, None)
    assert role_of("model.layers.0.self_attn.q_proj.weight", rules).role == "value_map"
    assert role_of("model.layers.0.self_attn.q_proj.bias", rules).role == "value_map.bias"
    assert role_of("model.layers.0.self_attn.k_proj.weight", rules).role == "k"


def test_a_rule_may_look_at_what_stands_beside() -> None:
    own = read_table({"modules": [["gate", r"ff\.a", "b"], ["up", r"ff\.a"], ["down", r"ff\.b"]]})
    rules = rules_for(own, None)
    both = roles_of(["layers.0.ff.a.weight", "layers.0.ff.b.weight"], rules)
    assert [role.role for role in both.values()] == ["gate", "down"]
    assert roles_of(["layers.0.ff.a.weight"], rules)["layers.0.ff.a.weight"].role == "up"


def test_rules_of_a_model_type(tmp_path: Path) -> None:
    name = "transformer.encoder.layers.0.mlp.dense_h_to_4h.weight"
    assert role_of(name).role == "up"
    chatglm = opened(tmp_path, Stored(name, "F32", (4, 3)), config={"model_type": "chatglm"})
    assert chatglm.roles[name] == Role(0, "gate_up", "text", None)
    own = {"models": [{"type": ["mine"], "modules": [["q", "dense_h_to_4h"]]}]}
    assert role_of(name, rules_for(read_table(own), "mine")).role == "q"
    assert role_of(name, rules_for(read_table(own), "other")).role == "up"


def test_caret_is_the_top_of_a_tower_and_shorthands_are_known() -> None:
    own = {
        "shorthands": {"block": r"(?:cell|unit)"},
        "modules": [["probe", "^tail"], ["q", r"<block>\.first"], ["k", r"<attention>\.first"]],
    }
    rules = rules_for(read_table(own), None)
    assert role_of("model.vision_tower.tail.weight", rules) == Role(None, "probe", "vision", None)
    assert role_of("model.layers.0.tail.weight", rules).role == "other"
    assert role_of("unit.first.weight", rules).role == "q"
    assert role_of("my_attn.first.weight", rules).role == "k"


def test_two_names_of_one_role_become_other_by_own_rules_too() -> None:
    rules = rules_for(read_table({"modules": [["same", "one|two"]]}), None)
    roles = roles_of(["one.weight", "two.weight", "wte.weight"], rules)
    assert [role.role for role in roles.values()] == ["other", "other", "embed"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"module": []}, "no rules are called 'module'; there are experts, layers, models, modul"),
        ({"modules": {}}, "modules {} is not a list"),
        ({"modules": [["q"]]}, r"modules, rule 1: \['q'\] is not of the form"),
        ({"modules": [["q", "a"], ["k", 3]]}, r"modules, rule 2: \['k', 3\] is not of the form"),
        ({"towers": [["a", "b", "c"]]}, r"towers, rule 1: .* is not of the form"),
        ({"modules": [["a role", "x"]]}, "rule 1: 'a role' is no name: letters, digits, _ and ."),
        ({"modules": [["q", "("]]}, "rule 1: '\\(' is no regular expression: missing \\)"),
        ({"modules": [["q", "(a)"]]}, r"rule 1: '\(a\)' has a group: write \(\?:...\)"),
        ({"layers": [3]}, "layers, rule 1: 3 is not a pattern"),
        ({"layers": ["("]}, "layers, rule 1: '\\(' is no regular expression"),
        ({"shorthands": 3}, "shorthands 3 are not a table of text"),
        ({"shorthands": {"a": "("}}, "shorthands, a: '\\(' is no regular expression"),
        ({"models": {}}, "models {} is not a list"),
        ({"models": [{"modules": []}]}, "models: type None is not a list of model types"),
        ({"models": [3]}, "models: type None is not a list of model types"),
        ({"models": [{"type": ["a"], "layers": []}]}, "models: no rules are called 'layers'"),
        ({"modules": [["q", "<unheard>"]]}, "'<unheard>': no shorthand <unheard>"),
    ],
)
def test_what_is_no_rule_is_refused(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ss.CheckpointError, match=message):
        compiled(read_table(members).before(standard_table()))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rules.toml", "modules = [", "not TOML"),
        ("rules.json", "{", "not JSON"),
        ("rules.json", "[]", r"\[\] is not a table of rules"),
        ("rules.yaml", "", "rules are a .toml or .json file, not '.yaml'"),
        ("rules.toml", "modul = []", "no rules are called 'modul'"),
    ],
)
def test_files_that_are_no_rules_are_named(
    name: str, text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ss.CheckpointError, match=f"{name}: {message}"):
        read_table(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ss.CheckpointError, match=r"none.toml: cannot be read: No such file"):
        read_table(tmp_path / "none.toml")


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
        {"parts": [["blocks", "a"]]},
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
    assert read_table(members).digest != read_table(members | more).digest


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(".0123layersmpqkv_weight", max_size=60))
def test_any_name_has_a_role_by_any_rules(name: str) -> None:
    rules = rules_for(read_table(tomllib.loads(OWN)), "chatglm")
    assert role_of(name, rules).role
    assert set(roles_of([name, name + "x"], rules)) == {name, name + "x"}
