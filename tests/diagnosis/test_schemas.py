# SPDX-License-Identifier: BSD-3-Clause
"""JSON of diagnoses and calibrations, against the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.support.updates import rows_of_update

import sigmascope as ss
from sigmascope.diagnosis import Calibration, diagnose_increments

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return Calibration.fit(
        [
            (rows_of_update(share, seed=10 * i + (label == "broad")), label, f"base{i % 2}")
            for i in range(4)
            for share, label in ((0.53, "narrow"), (0.56, "broad"))
        ],
        recipe={"optimizer": "adamw"},
    )


def results(calibration: Calibration) -> dict[str, Any]:
    narrow, broad = rows_of_update(0.53, seed=91), rows_of_update(0.56, seed=92)
    return {
        "verdict": ss.diagnosis.diagnose(narrow, calibration, group="base0"),
        "refused": ss.diagnosis.diagnose(narrow, calibration, recipe={"optimizer": "sgd"}),
        "other tower": ss.diagnosis.diagnose(
            [row | {"tower": "vision"} for row in narrow], calibration
        ),
        "none": ss.diagnosis.diagnose(narrow),
        "paired": ss.diagnosis.diagnose(narrow, against=broad),
        "calibrated pair": ss.diagnosis.diagnose(narrow, calibration, against=broad),
        "refused pair": ss.diagnosis.diagnose(
            [row | {"tower": "vision"} for row in narrow],
            calibration,
            against=[row | {"tower": "vision"} for row in broad],
        ),
        "few blocks": ss.diagnosis.diagnose(
            rows_of_update(0.5, layers=1), against=rows_of_update(0.6, layers=1, seed=3)
        ),
        "increments": diagnose_increments([rows_of_update(0.5, seed=i) for i in range(8)]),
    }


def test_every_diagnosis_is_of_its_schema(calibration: Calibration) -> None:
    check = validator("diagnosis")
    for name, result in results(calibration).items():
        record = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        errors = [error.message for error in check.iter_errors(record)]
        assert not errors, (name, errors)
        for key in record:
            assert list(check.iter_errors({k: x for k, x in record.items() if k != key})), key
        assert list(check.iter_errors(record | {"more": 1}))


def test_a_saved_calibration_is_of_its_schema(calibration: Calibration, tmp_path: Path) -> None:
    calibration.save(tmp_path / "c.json")
    record = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    check = validator("calibration")
    assert not list(check.iter_errors(record))
    assert list(check.iter_errors(record | {"version": 2}))
