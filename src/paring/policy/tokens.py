"""Whether a tokenizer fits its model: every token has a row of the embedding, and prompts leave the answer open."""

from collections.abc import Iterable, Sequence

from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from paring.policy.chat import prompt_tokens
from paring.policy.rendering import rendered
from paring.types import Message

SAMPLE: Sequence[Message] = ({"role": "user", "content": "1 + 1"},)
ANOTHER: Sequence[Message] = ({"role": "user", "content": "2 + 3"},)
FILE = "tokenizer_config.json"


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raises ValueError: no end of an answer, or one without a row; tokens of text without a row; a tokenizer that ends
    every prompt, after which the model would answer; a chat template that leaves the question out, or draws by chance.

    Special tokens without a row are let pass where no text needs them: Gemma 3's tokenizer has one for images."""
    rows = embedding_rows(model)
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f'its tokenizer has no end-of-sequence token, so no answer could end; set "eos_token" in its {FILE}'
        )
    for name, token in _ends(tokenizer, model):
        if not isinstance(token, int) or isinstance(token, bool):
            raise ValueError(f"{name} = {token!a} is no token's id: give it the id of the token that ends an answer")
        if not 0 <= token < rows:
            raise ValueError(
                f"{name} = {token} is outside the embedding, whose {rows} rows are numbered 0 to {rows - 1}, so no "
                "answer could end: give it the id of the token that ends an answer"
            )
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    beyond = {token: word for word, token in tokenizer.get_vocab().items() if token >= rows and token not in special}
    if beyond:
        highest = max(beyond)
        raise ValueError(
            f"its tokenizer has {len(beyond)} tokens beyond the {rows} rows of the embedding, up to "
            f"{beyond[highest]!a} with id {highest}: resize the embedding (model.resize_token_embeddings) and save the "
            "model, or take the tokenizer that belongs to it"
        )
    try:
        prompt = prompt_tokens(tokenizer, SAMPLE)
        text, again, another = (rendered(tokenizer, one, (), prompt=True) for one in (SAMPLE, SAMPLE, ANOTHER))
    except Exception:  # a template or a vocabulary for other texts: those of the run are looked at when they are known
        return
    check_rows(prompt, rows, tokenizer, "every prompt")
    if text == another:
        raise ValueError(
            "its chat template makes the same text of two questions, so the model would not see them: choose another "
            "by model.chat_template"
        )
    if text != again:
        raise ValueError(
            "its chat template makes two texts of the same question, as `random` and `lipsum` do, so no run could be "
            "repeated: choose another by model.chat_template"
        )
    if tokenizer.chat_template is None and prompt[-1:] == (tokenizer.eos_token_id,):
        # A chat template may end a prompt so, for the model was trained on it; it is the tokenizer alone that may not.
        raise ValueError(
            f"its tokenizer ends every text with {tokenizer.eos_token!a} (id {tokenizer.eos_token_id}), so that the "
            f'model would answer after its end: set "add_eos_token": false in its {FILE}, and take the token out of '
            '"post_processor" in its tokenizer.json'
        )


def check_rows(tokens: Iterable[int], rows: int, tokenizer: PreTrainedTokenizerBase, place: str) -> None:
    """Raises ValueError where a token has no row of the embedding. `place` says whose tokens these are."""
    highest = max(tokens, default=0)
    if highest >= rows:
        raise ValueError(
            f"{place} has the token {tokenizer.convert_ids_to_tokens(highest)!a} with id {highest}, beyond the "
            f"{rows} rows of the embedding: leave it out of the text and the chat template, or resize the embedding "
            "(model.resize_token_embeddings) and save the model"
        )


def embedding_rows(model: PreTrainedModel) -> int:
    """How many tokens have a row of their own."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.shape[0]


def _ends(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> list[tuple[str, object]]:
    """The tokens that end an answer, with the names of the settings that say so: what a file has there may be no id."""
    config = model.generation_config
    listed: object = None if config is None else config.eos_token_id
    of_model: list[tuple[str, object]] = [
        ("eos_token_id of generation_config.json", token)
        for token in (listed if isinstance(listed, list) else [listed])
    ]
    ends = [("eos_token_id of the tokenizer", tokenizer.eos_token_id), *of_model]
    return [(name, token) for name, token in ends if token is not None]
