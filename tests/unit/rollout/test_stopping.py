"""Stop strings: by every way of decoding an answer ends with the first token after which its text holds one."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paring.policy.chat import answer_text
from paring.policy.loading import Model, load_base
from paring.policy.model import Policy
from paring.rollout import local, room
from paring.rollout.engine import Rollout, Sampling
from paring.rollout.local import LocalEngine
from paring.rollout.stopping import Stops
from paring.tasks.arithmetic import Arithmetic
from paring.types import Key

KEY, MOST = Key(2, 5), 24
STOPS = ("er>", "7<", "</answer>", "1")


@pytest.fixture(scope="module")
def policy():
    return Policy(*load_base(Model()), {})


@pytest.fixture(params=["packed", "few rows", "generated", "fixed sizes"])
def engine(request, policy, monkeypatch):
    if request.param == "generated":
        return LocalEngine(replace(policy, unpacked="on trial"))
    if request.param == "fixed sizes":
        monkeypatch.setattr(local, "in_fixed_sizes", lambda device: True)
        monkeypatch.setattr(room, "free_bytes", lambda device: 10**5)
    return LocalEngine(policy, rows=5 if request.param == "few rows" else 512)


@pytest.fixture(scope="module")
def whole(policy):
    """The answers without a stop, each with its text after every token."""
    problems = Arithmetic().problems("train")[:5]
    groups = LocalEngine(policy).sample(problems, 4, Sampling(max_new_tokens=MOST), KEY)

    def texts(tokens):
        return [answer_text(policy.tokenizer, tokens[:end]) for end in range(1, len(tokens) + 1)]

    return problems, [[(one, texts(one.tokens)) for one in group.completions] for group in groups]


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("stop", [STOPS[:1], STOPS[1:2], STOPS])
def test_an_answer_ends_with_the_first_token_that_completes_a_stop(engine, whole, stop, keep):
    problems, answers = whole
    found = engine.sample(problems, 4, Sampling(max_new_tokens=MOST, stop=stop, keep_stop=keep), KEY)
    stopped = 0
    for ours, theirs in zip(found, answers, strict=True):
        for one, (other, texts) in zip(ours.completions, theirs, strict=True):
            end = next((end for end, text in enumerate(texts, 1) if any(string in text for string in stop)), None)
            if end is None:
                assert (one.tokens, one.text, one.ended) == (other.tokens, other.text, other.ended)
                continue
            stopped += 1
            string = next(string for string in stop if string in texts[end - 1])
            before, _, _ = texts[end - 1].partition(string)
            assert one.tokens == other.tokens[:end] and one.ended
            assert one.logprobs == pytest.approx(other.logprobs[:end], abs=1e-4)
            assert one.text == before + string * keep
    assert stopped > 3


def test_of_several_stops_that_a_token_completes_the_first_named_counts():
    """As vLLM has it; and what follows the stop within its token is no part of the text."""
    pieces = {"a": 0, "one": 1, "<end>stop!": 2, " two": 3}
    words = Tokenizer(models.WordLevel(pieces, unk_token="a"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.WhitespaceSplit(), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    tokens = [1, 3, 2]
    assert Stops(tokenizer, ("stop", "<end>")).found(tokens) == (12, 16)
    assert Stops(tokenizer, ("<end>", "stop")).found(tokens) == (7, 12)
    assert Stops(tokenizer, ("never",)).found(tokens) is None
    assert Stops(tokenizer, ("e two<",)).length([1, 3, 2, 1], 0) == 3
    assert Stops(tokenizer, ("e two<",)).length([1, 3, 2, 1], 3) is None


def test_characters_of_several_tokens_are_seen():
    """Bytes of a character are no text until the last of them is there."""
    letters = sorted({*pre_tokenizers.ByteLevel.alphabet()})
    by_byte = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    by_byte.pre_tokenizer, by_byte.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=by_byte)
    tokens = tokenizer.encode("a é。b")
    stops = Stops(tokenizer, ("é。",))
    assert stops.length(tokens, 0) == len(tokens) - 1 and stops.found(tokens) == (2, 4)
    rows = torch.tensor([tokens[-1], tokens[-2]])
    assert stops.completed(rows, lambda row: tokens[: len(tokens) - 1]).tolist() == [False, True]


@pytest.mark.parametrize("stop", [("",), ("x",) * 17, ("y" * 201,)])
def test_a_stop_that_is_none_is_refused(stop):
    with pytest.raises(ValidationError):
        Rollout(problems=1, group_size=2, max_new_tokens=1, stop=stop)
