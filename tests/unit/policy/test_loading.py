"""Loading: what is read, and the message for what cannot be: it names model.path and what to do."""

import json
import os
import shutil
import string

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from paring.policy.chat import prompt_tokens
from paring.policy.loading import EMBEDDED, Model, base_name, load_base
from paring.policy.model import Policy


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing here may ask the network, whatever a fault makes of a path."""
    monkeypatch.setattr("socket.socket.connect", None)


@pytest.fixture
def folder(tmp_path):
    """A copy of the embedded model, to be broken."""
    return shutil.copytree(EMBEDDED, tmp_path / "model")


def complaint(path) -> str:
    with pytest.raises(ValueError) as caught:
        load_base(Model(path=str(path)))
    message = str(caught.value)
    assert message.startswith(f"model.path = {str(path)!r}: ")
    return message


def test_embedded_is_loaded_frozen_in_eval_mode():
    model, tokenizer = load_base(Model(device="cpu"))
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id


def test_a_folder_gives_what_was_saved_in_it(tiny, tokenizer, tmp_path, family):
    model = tiny(family)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, loaded_tokenizer = load_base(Model(path=str(tmp_path)))
    expected = dict(model.named_parameters())
    assert expected.keys() == dict(loaded.named_parameters()).keys()
    assert all(torch.equal(parameter, expected[name]) for name, parameter in loaded.named_parameters())
    assert loaded_tokenizer.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize(("chosen", "expected"), [(None, "1"), ("0", "0")])
def test_large_pages_are_asked_for_unless_the_environment_says_otherwise(monkeypatch, chosen, expected):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", chosen or "")
    if chosen is None:
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE")
    load_base(Model(device="cpu"))
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == expected


def test_dtype_is_the_one_asked_for():
    model, _ = load_base(Model(dtype="bfloat16", device="cpu"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    "path", ["./nowhere", "~/nowhere", "/nowhere/at/all", "a/b/c", "nowhere.gguf", "some/model.gguf"]
)
def test_a_path_to_nothing(path):
    assert "there is no such folder or file. Give a Hugging Face folder" in complaint(path)


def test_a_folder_without_config(folder):
    (folder / "config.json").unlink()
    assert "a model is a config.json, a tokenizer and .safetensors" in complaint(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("left", [0, 1, 200])
def test_a_file_cut_short(folder, file, left):
    (folder / file).write_bytes((folder / file).read_bytes()[:left])
    remedy = {"config.json": "fetch it again", "model.safetensors": "fetch or write it again"}
    assert remedy.get(file, "a model is a config.json, a tokenizer and .safetensors") in complaint(folder)


def test_a_pickle_is_not_read(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": torch.ones(96)}, folder / "pytorch_model.bin")
    assert "pickled weights are not read" in complaint(folder)


def test_an_encoder_is_refused(tmp_path):
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForMaskedLM(config).save_pretrained(tmp_path)
    assert "BertForMaskedLM is no causal language model" in complaint(tmp_path)


def test_a_repository_with_code_of_its_own_is_refused(folder):
    edit(folder / "config.json", model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"})
    (folder / "own.py").write_text("raise SystemExit('this must never run')")
    assert "custom code" in complaint(folder)


def test_missing_weights_are_not_made_up(folder):
    edit(folder / "config.json", num_hidden_layers=5)
    assert "weights are missing (model.layers.3." in complaint(folder)


def test_weights_without_a_place_are_named(folder):
    """Half of a model runs, and is another model."""
    edit(folder / "config.json", num_hidden_layers=2)
    with pytest.warns(UserWarning, match=r"has no place for 9 weights of its files, such as model\.layers\.2\."):
        load_base(Model(path=str(folder)))


def test_weights_of_another_shape(folder):
    edit(folder / "config.json", intermediate_size=100)
    assert "9 of its weights have other shapes than its config.json says: model.layers.0.mlp." in complaint(folder)


def test_weights_that_are_no_numbers(folder):
    """They load, and every logit is NaN."""
    edit(folder / "config.json", rms_norm_eps=float("nan"))
    base, tokenizer = load_base(Model(path=str(folder)))
    with pytest.raises(
        ValueError, match=r"its logits are no finite numbers: a weight or a setting of its config\.json"
    ):
        Policy(base, tokenizer, {})


def test_a_tokenizer_of_no_length(folder):
    edit(folder / "tokenizer_config.json", model_max_length="long")
    assert "its tokenizer has model_max_length = 'long': no number of tokens" in complaint(folder)


def test_a_template_that_writes_without_end(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[0].content * 5_000_000 }}")
    _, tokenizer = load_base(Model(path=str(folder)))
    with pytest.raises(ValueError, match="makes 25,000,000 characters of a conversation, and 10,000,000 are the most"):
        prompt_tokens(tokenizer, [{"role": "user", "content": "1 + 1"}])


@pytest.mark.parametrize(
    "template, words",
    [
        ("", "makes the same text of two questions, so the model would not see them"),
        ("{{ question }}", "makes the same text of two questions"),
        ("1 + 1", "makes the same text of two questions"),
        ("{{ messages[0].content }}{{ [1, 2, 3, 4, 5, 6, 7, 8, 9] | random * 10**40 }}", "two texts of the same"),
        ("{{ lipsum() }}{{ messages[0].content }}", "two texts of the same question, as `random` and `lipsum` do"),
    ],
)
def test_a_template_that_shows_no_question_or_draws_is_refused(folder, monkeypatch, template, words):
    draws = iter(range(1, 100))
    monkeypatch.setattr("random.choice", lambda given: given[next(draws) % len(given)])
    (folder / "chat_template.jinja").write_text(template)
    assert words in complaint(folder)


@pytest.mark.parametrize(
    "template, words",
    [("{{ 'a' * 10**15 }}", "roles user: MemoryError; choose"), ("{{", "roles user: unexpected 'end of template'; ch")],
)
def test_a_template_that_fails_says_why(folder, template, words):
    (folder / "chat_template.jinja").write_text(template)
    _, tokenizer = load_base(Model(path=str(folder)))
    with pytest.raises(ValueError, match="choose a model that takes them, or another template by model") as caught:
        prompt_tokens(tokenizer, [{"role": "user", "content": "1 + 1"}])
    assert words in str(caught.value)


@pytest.mark.parametrize("end", ["x", 1.5, True, [[1]], {"a": 1}, [1, "2"]])
def test_an_end_that_is_no_token(folder, end):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}))
    assert "is no token's id: give it the id of the token that ends an answer" in complaint(folder)


@pytest.mark.parametrize("text, words", [("[]", "is no object of JSON, but []"), ("", "is no JSON (Expecting value")])
def test_broken_settings_of_generation(folder, text, words):
    (folder / "generation_config.json").write_text(text)
    assert f"generation_config.json {words}" in complaint(folder)


@pytest.mark.parametrize("condition", ["", "{% if messages | length > 1 %}"])
def test_a_template_that_loops_is_stopped(folder, monkeypatch, condition):
    monkeypatch.setattr("paring.policy.rendering.TEMPLATE_SECONDS", 0.2)
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    (folder / "chat_template.jinja").write_text(f"{condition}{loops}{condition and '{% endif %}'}x")
    turns = "3 turns" if condition else "1 turn"
    with pytest.raises(ValueError, match=f"chat template has taken longer than 0.2 s for a conversation of {turns}: "):
        load_base(Model(path=str(folder), device="cpu"))


def test_a_tokenizer_that_cannot_end_an_answer(folder):
    letters = {letter: token for token, letter in enumerate(string.ascii_letters)}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(letters))).save_pretrained(folder)
    assert 'no end-of-sequence token, so no answer could end; set "eos_token"' in complaint(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match=r'model\.device = "cuda": torch sees no GPU here; use "auto" or "cpu"'):
        load_base(Model(device="cuda"))


def test_settings_name_what_is_wrong():
    with pytest.raises(ValueError, match="dtype"):
        Model(dtype="float16")


def test_base_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert base_name("mine") == str((tmp_path / "mine").resolve())
    assert base_name("owner/model") == "owner/model"
    assert base_name("embedded") == str(EMBEDDED.resolve())


def edit(file, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(("quantisation", "kind"), [("4bit", "Linear4bit"), ("8bit", "Linear8bitLt")])
def test_a_base_is_quantised_but_for_its_head(quantisation, kind):
    pytest.importorskip("bitsandbytes")
    base, _ = load_base(Model(quantisation=quantisation))
    kinds = {type(module).__name__ for module in base.base_model.modules() if isinstance(module, torch.nn.Linear)}
    assert kinds == {kind} and type(base.get_output_embeddings()) is torch.nn.Linear
    assert not any(parameter.requires_grad for parameter in base.parameters())


def test_without_bitsandbytes_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("paring.policy.quantised.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'"4bit" needs bitsandbytes and accelerate: pip install "paring\[qu'):
        load_base(Model(quantisation="4bit"))
