"""The contract over the models that stand for their kinds, and the page that shows it over all (make test-models)."""

from pathlib import Path

import families
import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import contract

CASES = {case.name: case for case in families.cases()}
PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def committed() -> dict[str, list[str]]:
    """The cells of each row of the page's table, by the name of its model."""
    written = PAGE.read_text(encoding="utf-8").split("<!-- table")[1].split("Families without a row")[0]
    lines = [line for line in written.splitlines() if line.startswith("| ")]
    return {name: cells for name, *cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1:])}


@pytest.mark.parametrize("name", families.FAST)
def test_a_model_is_computed_as_transformers_and_peft_compute_it(name, tmp_path):
    model = families.build(CASES[name])
    families.write_checkpoint(model, tmp_path / "base")
    row = contract.examine(model, tmp_path)
    assert not row.refused, row.path
    assert not row.wrong, row.errors
    way, shown = (path.partition(":")[0] for path in (row.path, committed()[name][0]))
    assert way == shown, "the page shows another way: make test-models"


@pytest.mark.parametrize("name", ["plbart", "roberta", "llama"])
def test_half_precision_takes_the_way_that_fp32_takes(name, tmp_path):
    """What is a fault in fp32 is none of rounding in bf16: positions by place, a cache that counts them otherwise."""
    families.write_checkpoint(families.build(CASES[name]), tmp_path)
    exact, rounded = (contract.path_of(contract.opened(tmp_path, dtype)) for dtype in ("float32", "bfloat16"))
    assert exact.partition(":")[0] == rounded.partition(":")[0]


def test_the_page_has_a_row_for_every_model():
    assert sorted(committed()) == sorted(CASES)


def test_every_family_has_a_row_or_a_reason():
    """Whatever transformers adds is asked for."""
    known = {case.family for case in CASES.values()} | families.UNBUILT.keys()
    assert known >= MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys()
    assert not {case.family for case in CASES.values()} & families.UNBUILT.keys()


def test_a_wrong_number_shows():
    """Every check can fail: an error above its tolerance, one that is no number, and one in words."""
    row = contract.Row("packed", {"log-probs": 2e-4, "gradients": float("nan"), "greedy": 0, "PEFT": "KeyError"})
    assert row.wrong == ["log-probs", "gradients", "PEFT"]
