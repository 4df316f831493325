"""Exports: checked before they are there, in the precision that they should have, with a card and no machine's path."""

import json
import re

import pytest
import torch
from huggingface_hub import ModelCard
from peft import AutoPeftModelForCausalLM
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from paring import evaluate
from paring.adapters.attach import attach, detach
from paring.adapters.kinds import Lora
from paring.adapters.peft_format import write_peft_folder
from paring.policy.loading import Model, load_base
from paring.policy.publishing import ReadBack, probe_logits
from paring.subjects import export as exporting
from paring.subjects import merging
from paring.subjects.card import CardFacts, write_card
from paring.subjects.export import export, exported
from paring.subjects.opening import open_subject


@pytest.fixture(scope="module")
def stored_in_bf16(tmp_path_factory):
    """A folder with a base in bf16 and an adapter beside it, which names it by a relative folder."""
    folder = tmp_path_factory.mktemp("stored")
    base, tokenizer = load_base(Model(device="cpu"))
    base.to(torch.bfloat16).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    adapters = attach(base, Lora(rank=2), seed=0)
    generator = torch.Generator().manual_seed(0)
    for adapter in adapters.values():
        adapter.B_OR.data.normal_(0, 0.05, generator=generator)
    (folder / "adapter").mkdir()
    write_peft_folder(folder / "adapter", adapters, base_model="../base")
    return folder


def types_in(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return {str(file.get_tensor(name).dtype).removeprefix("torch.") for name in file.keys()}


@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16", "float16"])
def test_a_merged_model_keeps_the_type_of_its_checkpoint(dtype, stored_in_bf16, tmp_path):
    written = exported(stored_in_bf16 / "adapter", tmp_path / "to", merged=True, dtype=dtype)
    expected = dtype or "bfloat16"
    assert types_in(tmp_path / "to") == {expected} and written.dtype == expected
    assert json.loads((tmp_path / "to" / "config.json").read_text())["dtype"] == expected
    # Merged in fp32 and cast last: the weights are those of the adapter's module, rounded once.
    policy = open_subject(str(stored_in_bf16 / "adapter")).policy
    path, adapter = next(iter(policy.adapters.items()))
    whole_OI = adapter.base.weight.float() + adapter.delta_OI()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "to", dtype="auto")
    assert torch.equal(model.get_submodule(path).weight, whole_OI.to(getattr(torch, expected)))
    assert re.fullmatch(
        rf"model written to .*/to: {'1.37' if expected == 'float32' else '0.69'} MB in 1 file, {expected}\n"
        r"read back by transformers [\d.]+: largest difference of the logits [\d.e-]+",
        str(written),
    )


def test_a_merged_model_of_an_fp32_checkpoint_is_fp32(finished_run, tmp_path):
    export(finished_run, tmp_path / "to", merged=True)
    assert types_in(tmp_path / "to") == {"float32"}


def test_an_adapter_says_how_it_was_checked(stored_in_bf16, finished_run, tmp_path):
    for source in (finished_run, finished_run / "adapter", stored_in_bf16 / "adapter"):
        written = exported(source, tmp_path / "of" / source.parent.name / source.name, merged=False)
        assert re.search(
            r", float32\nread back by PEFT [\d.]+: largest difference of the logits [\d.e-]+$", str(written)
        )
        assert written.check.difference < 1e-4


@pytest.mark.parametrize("merged", [False, True])
def test_what_is_read_back_otherwise_is_not_written(merged, finished_run, tmp_path, monkeypatch):
    wrong = ReadBack("PEFT 9", 3.0, "logits differ by 3")
    monkeypatch.setattr(exporting, "publish", lambda *_, **__: wrong)
    if merged:  # a writer that loses the adapters
        monkeypatch.setattr(merging, "merge", lose_the_adapters)
    remedy = "export the adapter, without --merged" if merged else "export the whole model, with --merged"
    with pytest.raises(ValueError, match=f"so nothing was written: .*The way round: {remedy}"):
        export(finished_run, tmp_path / "to", merged=merged)
    assert list(tmp_path.iterdir()) == []


def lose_the_adapters(model):
    detach(model)
    for parameter in model.parameters():
        parameter.data.mul_(1.5)


def test_a_type_is_of_merged_models_alone(finished_run, tmp_path):
    with pytest.raises(ValueError, match="dtype = 'bfloat16': an adapter is always fp32"):
        export(finished_run, tmp_path / "to", dtype="bfloat16")


def test_an_adapter_names_its_base_without_a_path_of_this_machine(stored_in_bf16, finished_run, tmp_path, monkeypatch):
    export(finished_run, tmp_path / "shipped")
    config = json.loads((tmp_path / "shipped" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "paring-embedded"
    assert evaluate(tmp_path / "shipped", "arithmetic", limit=2).problems == 2
    local = export(stored_in_bf16 / "adapter", stored_in_bf16 / "deep" / "local")
    config = json.loads((local / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../../base"
    expected = open_subject(str(local)).policy.model
    expected.set_attn_implementation("eager")
    monkeypatch.chdir(local)
    peft = AutoPeftModelForCausalLM.from_pretrained(".", dtype=torch.float32).eval()
    torch.testing.assert_close(probe_logits(peft, 103), probe_logits(expected, 103), rtol=0, atol=1e-4)
    for folder in (tmp_path / "shipped", local, finished_run / "adapter"):
        for file in folder.iterdir():
            assert str(tmp_path.parent.parent).encode() not in file.read_bytes(), file
            assert b"site-packages" not in file.read_bytes() and b"src/paring" not in file.read_bytes()


def test_the_card_of_a_run(finished_run, tmp_path):
    export(finished_run, tmp_path / "mine")
    card = ModelCard.load(tmp_path / "mine" / "README.md")
    data = card.data.to_dict()
    assert (data["base_model"], data["library_name"], data["pipeline_tag"]) == (
        "paring-embedded",
        "peft",
        "text-generation",
    )
    assert data["tags"] == ["paring", "lora", "reinforcement-learning"] and "license" not in data
    result = json.loads((finished_run / "result.json").read_text())
    [measured] = card.data.eval_results
    assert (measured.dataset_name, measured.metric_type) == ("arithmetic", "accuracy")
    assert measured.metric_value == pytest.approx(result["after"]["accuracy"])
    low, high = result["after"]["interval"]
    assert f"95 % interval [{100 * low:.1f}, {100 * high:.1f}], 4 problems" in measured.metric_name
    for line in ("| objective.kind | rgra |", "| adapter.rank | 8 |", "| task.name | arithmetic |", "| steps | 4 |"):
        assert line in card.text
    assert f"| torch | {torch.__version__} | {torch.__version__} |" in card.text
    assert "PeftModel.from_pretrained(base" in card.text and "--enable-lora" in card.text
    assert "read back by PEFT" in card.text


def test_the_card_of_a_merged_model_and_of_a_bare_adapter(stored_in_bf16, finished_run, tmp_path):
    export(finished_run, tmp_path / "merged", merged=True)
    card = ModelCard.load(tmp_path / "merged" / "README.md")
    assert card.data.library_name == "transformers" and "vllm serve path/to/this/folder\n" in card.text
    export(stored_in_bf16 / "adapter", tmp_path / "bare")
    card = ModelCard.load(tmp_path / "bare" / "README.md")
    # A folder is no name on the hub, whose check of the card would refuse it.
    assert "base_model" not in card.data.to_dict() and card.data.tags == ["paring", "lora"]
    assert "Nothing is known of how the adapter was trained" in card.text


def test_nothing_in_a_card_is_markup_or_a_path(tmp_path):
    hostile = "x\n---\nlicense: mit\n# head <script> [a](javascript:b) | `c` \x1b[2J"
    task = {"name": hostile, "train": "/home/me/secret/train.jsonl", "style": r"C:\Users\me\style.txt"}
    after = {"accuracy": 0.5, "interval": [0.2, 0.8], "problems": 9}
    facts = CardFacts(
        "adapter",
        "name",
        hostile,
        {"description": hostile, "task": task, "adapter": {"kind": hostile, "start": "~/adapters/one"}},
        {"task": hostile, "before": after, "after": after, "versions": {"torch": hostile}},
        [hostile],
    )
    write_card(tmp_path, facts)
    text = (tmp_path / "README.md").read_text()
    card = ModelCard(text)
    assert "license" not in card.data.to_dict() and card.data.eval_results[0].metric_value == 0.5
    assert "\x1b" not in text and not re.search("secret|Users|home|~", text.replace(r"\~", ""))
    assert "| task.train | train.jsonl |" in text and "| adapter.start | one |" in text
    assert "\n# head" not in text and "<script>" not in card.text.replace(r"\<script\>", "").split("## Loading")[0]
