"""A tokenizer that does not fit its model: found when the model is loaded, or with the prompts, before any work."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from paring import load_run
from paring.policy.loading import Model, load_base
from paring.policy.tokens import check_rows
from paring.training.method import preview

ROWS = 64


@pytest.fixture
def loaded(tiny, tmp_path):
    """Loads a tiny Llama of 64 rows with a tokenizer of so many words."""

    def load(
        words: int = ROWS, *, end: str = "w63", ends_texts: bool = False, template=None, added=(), generation=None
    ):
        level = models.WordLevel({f"w{token}": token for token in range(words)}, unk_token="w0")
        made = Tokenizer(level)
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        if ends_texts:
            made.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 63)])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=end, chat_template=template)
        tokenizer.add_tokens(list(added))
        model = tiny()
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        if generation is not None:
            (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))
        return load_base(Model(path=str(tmp_path), device="cpu"))

    return load


def test_more_words_than_rows(loaded):
    with pytest.raises(ValueError, match=r"has 6 tokens beyond the 64 rows .* 'w69' with id 69: resize the embedding"):
        loaded(70)


def test_an_added_word_without_a_row(loaded):
    with pytest.raises(ValueError, match=r"1 tokens beyond the 64 rows of the embedding, up to '<think>' with id 64"):
        loaded(added=["<think>"])


def test_a_special_token_without_a_row_is_refused_where_a_prompt_has_it(loaded):
    image = [AddedToken("<image>", special=True)]
    model, tokenizer = loaded(added=image)
    assert len(tokenizer) == 65 and model.get_input_embeddings().weight.shape[0] == ROWS
    with pytest.raises(ValueError, match=r"problem 3 has the token '<image>' with id 64, beyond the 64 rows"):
        check_rows([1, 64], ROWS, tokenizer, "problem 3")
    with pytest.raises(ValueError, match="every prompt has the token '<image>' with id 64"):
        loaded(added=image, template="<image> {{ messages[0].content }}")


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }}"])
def test_a_tokenizer_that_ends_every_text(loaded, template):
    """A chat template adds what it says itself."""
    if template is not None:
        loaded(ends_texts=True, template=template)
        return
    with pytest.raises(ValueError, match=r"ends every text with 'w63' \(id 63\).*\"add_eos_token\": false"):
        loaded(ends_texts=True)


def test_a_template_may_end_a_prompt_so(loaded):
    loaded(template="{{ messages[0].content }} w63")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"end": "w64", "words": 65}, "of the tokenizer = 64"),
        ({"generation": [63, 99]}, r"generation_config.json = 99"),
    ],
)
def test_an_end_without_a_row(loaded, given, name):
    with pytest.raises(ValueError, match=rf"eos_token_id .*{name} is outside the embedding, whose 64 rows .* 0 to 63"):
        loaded(**given)


def test_a_dry_run_finds_a_prompt_without_a_row(small_run, tmp_path):
    """The embedded model, one row short: that of a character that no answer needs."""
    model, tokenizer = load_base(Model(device="cpu"))
    model.resize_token_embeddings(len(tokenizer) - 1)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"model.path = .*beyond the {len(tokenizer) - 1} rows"):
        preview(load_run("quickstart", **{"model.path": str(tmp_path)}))
