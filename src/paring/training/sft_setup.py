"""Set-up of a supervised run: every fault of the user's is found here, before any work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from paring.policy.chat import conversation_tokens
from paring.policy.model import Policy
from paring.policy.packing import Labelled
from paring.policy.tokens import check_rows, embedding_rows
from paring.tasks.examples import Conversation
from paring.training.config import SftRun
from paring.training.setup import load_policy


@dataclass(frozen=True)
class SftSetup:
    """The policy, the examples it trains on and those held out, and notes for the user."""

    policy: Policy
    examples: Sequence[Labelled]
    held_out: Sequence[Labelled]
    notes: Sequence[str]


def prepare(run: SftRun) -> SftSetup:
    """Read the data, load the model, attach the adapters, and turn every example into tokens.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    trained, tested = run.data.split()
    policy, notes = load_policy(run)
    longest = min(run.data.longest, policy.context)

    def kept(kind: str, part: Sequence[Conversation]) -> list[Labelled]:
        read = [labelled(example, policy.tokenizer, run.data.loss_on) for example in part]
        for example, tokens in zip(part, read, strict=True):
            check_rows(tokens.tokens, embedding_rows(policy.model), policy.tokenizer, example.place)
        short = [example for example in read if len(example.tokens) <= longest]
        left_out = f"{len(read) - len(short)} of {len(read)} {kind} examples are longer than {longest} tokens"
        remedy = f"raise data.longest ({run.data.longest}) up to the model's context of {policy.context}"
        if not short:
            raise ValueError(f"{run.data.path}: {left_out}, so none is left: shorten them or {remedy}")
        if len(short) < len(read):
            notes.append(f"{left_out} and left out; to keep them, {remedy}")
        return short

    examples, held_out = kept("training", trained), kept("held-out", tested[: run.evaluate.limit])
    return SftSetup(policy, examples, held_out, notes)


def labelled(example: Conversation, tokenizer: PreTrainedTokenizerBase, loss_on: str) -> Labelled:
    """The tokens of an example. Raises ValueError that names it where the chat template does not fit it."""
    try:
        tokens = conversation_tokens(tokenizer, example.messages)
    except ValueError as error:
        raise ValueError(f"{example.place}: {error}") from error
    if loss_on == "completions":
        return tokens
    return replace(tokens, learned=(False, *[True] * (len(tokens.tokens) - 1)))
