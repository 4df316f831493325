"""bench/gpu.py on a CPU: every part runs and says what it measured; its numbers mean nothing here."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("gpu")


def test_every_part_gives_a_line(gpu, monkeypatch, capsys, tmp_path):
    out = tmp_path / "lines.jsonl"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--parts", "equality,rollout,step", "--out", str(out)])
    gpu.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == lines
    equality, rollout, step = lines
    # The one claim that holds on every device.
    assert equality["ratio"] >= equality["at_least"] == 1
    assert equality["largest_difference_fp32"] < 1e-4
    assert min(equality["gradient_cosine"].values()) > 0.999
    assert set(rollout["tokens_per_second"]) == {"ours", "generate_dynamic", "generate_static", "generate_merged"}
    assert {"rollout", "reference", "training"} <= set(step["seconds_by_phase"])
    for line in lines:
        assert line["shapes"]["model"] == "tiny" and line["device"]["name"]
        assert {"claim", "ratio", "at_least", "versions", "threads", "commit"} <= set(line)


def test_no_part_is_begun_once_the_time_is_over(gpu, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--parts", "equality,step", "--seconds", "-1"])
    gpu.main()
    said = capsys.readouterr()
    assert said.out == ""
    assert "equality of tiny was not begun" in said.err and "step of tiny was not begun" in said.err


@pytest.mark.parametrize("option", [["--models", "9b"], ["--parts", "speed"], []])
def test_what_cannot_be_measured_is_refused(gpu, monkeypatch, capsys, option):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *option])
    with pytest.raises(SystemExit) as caught:
        gpu.main()
    words = f"{caught.value} {capsys.readouterr().err}"
    assert "unknown; choose of" in words if option else "torch sees no GPU here" in words


@pytest.mark.parametrize(
    ("name", "billions"), [("0.5b", (0.45, 0.55)), ("1.5b", (1.4, 1.7)), ("3b", (2.9, 3.3)), ("8b", (7.9, 8.2))]
)
def test_shapes_are_those_of_models_of_that_size(gpu, name, billions):
    model = importlib.import_module("gpu_models").random_model(name, torch.bfloat16, torch.device("meta"))
    assert billions[0] < model.num_parameters() / 1e9 < billions[1]
    assert model.dtype == torch.bfloat16
