"""The figure of tuned values: one place for each value, and the looks that the arms have elsewhere."""

import json

from paring.reporting.chart import charts_of
from paring.reporting.findings import find
from paring.reporting.gathering import gather
from paring.reporting.series import styles_of, tuning_figures
from paring.reporting.web_page import as_page


def retuned(study, chosen):
    path = study / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chosen": chosen}))
    return gather([study])


def choice(arm, scores, **setting):
    return {"arm": arm, "setting": setting, "value": 0.1, "scores": scores}


def test_every_value_has_its_place_and_every_arm_its_look(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [20], "grpo": [30]})
    scores = {"rgra": {"0.1": 0.5, "1.0": 0.25}, "grpo": {"1.0": 0.75, "10.0": 1.0}}
    gathered = retuned(study, [choice(arm, found) for arm, found in scores.items()])
    (figure,) = tuning_figures(gathered)
    assert (figure.axis, figure.ticks) == ("optimiser.lr", ((1, "0.1"), (2, "1.0"), (3, "10.0")))
    rgra, grpo = figure.panels[""]
    assert [(point.step, point.mean) for point in rgra.points] == [(1, 0.5), (2, 0.25)]
    assert [(point.step, point.mean) for point in grpo.points] == [(2, 0.75), (3, 1.0)]
    assert {curve.label: curve.style for curve in (rgra, grpo)} == styles_of(gathered)
    chart = charts_of(figure)[""]
    assert [text for _, text in chart.across] == ["0.1", "1.0", "10.0"]
    page = as_page(find([study]))
    assert "Tuning optimiser.lr" in page and ">optimiser.lr</text>" in page


def test_settings_have_panels(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [20], "grpo": [30]}, updates=(1, 4))
    rows = [choice(arm, {"0.1": 0.5, "1.0": 0.2}, **{"rollout.updates": n}) for arm in ("rgra", "grpo") for n in (1, 4)]
    (figure,) = tuning_figures(retuned(study, rows))
    assert {words: len(curves) for words, curves in figure.panels.items()} == {
        "rollout.updates = 1": 2,
        "rollout.updates = 4": 2,
    }


def test_one_value_or_none_makes_no_figure(make_study, tmp_path):
    study = make_study(tmp_path / "study", {"rgra": [20], "grpo": [30]})
    assert tuning_figures(retuned(study, [choice("rgra", {"0.1": 0.5})])) == []
    assert tuning_figures(retuned(study, [])) == []
