"""What a supervised run needs before its first step; every fault of the user's is found here, before any work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedTokenizerBase

from paring.adapters.attach import load_state, parameters_by_name, state
from paring.config import SftRun, to_toml
from paring.policy.chat import conversation_tokens
from paring.policy.model import Policy
from paring.policy.packing import Labelled
from paring.runtime.text import visible
from paring.tasks.examples import Example
from paring.training.draws import items_of_step
from paring.training.setup import in_words, load_policy

LONGEST_TEXT = 2000


@dataclass(frozen=True)
class SftSetup:
    """The policy, the examples it trains on and those held out, and what a person should be told."""

    policy: Policy
    examples: Sequence[Labelled]
    held_out: Sequence[Labelled]
    notes: Sequence[str]

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What is trained, by name."""
        return parameters_by_name(self.policy.adapters)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint holds of them, by file and name."""
        return {"adapter": state(self.policy.adapters)}

    def load_tensors(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """Take over what `tensors` gave. Raises ValueError where they do not fit."""
        load_state(self.policy.adapters, tensors["adapter"])

    def __str__(self) -> str:
        return in_words(self.policy)


def prepare(run: SftRun) -> SftSetup:
    """Read the data, load the model, attach the adapters, and turn every example into tokens.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    trained, tested = run.data.split()
    policy = load_policy(run)
    longest = min(run.data.longest, policy.context)
    examples, notes = [], []
    for what, part in (("training", trained), ("held-out", tested[: run.evaluate.limit])):
        read = [labelled(example, policy.tokenizer, run.data.loss_on) for example in part]
        kept = [example for example in read if len(example.tokens) <= longest]
        left_out = f"{len(read) - len(kept)} of {len(read)} {what} examples are longer than {longest} tokens"
        remedy = f"raise data.longest ({run.data.longest}) up to the model's context of {policy.context}"
        if not kept:
            raise ValueError(f"{run.data.path}: {left_out}, so none is left: shorten them or {remedy}")
        if len(kept) < len(read):
            notes.append(f"{left_out} and left out; to keep them, {remedy}")
        examples.append(kept)
    return SftSetup(policy, *examples, notes)


def labelled(example: Example, tokenizer: PreTrainedTokenizerBase, loss_on: str) -> Labelled:
    """The tokens of an example. Raises ValueError that names it where the chat template does not fit it."""
    try:
        tokens = conversation_tokens(tokenizer, example.messages)
    except ValueError as error:
        raise ValueError(f"{example.place}: {error}") from error
    if loss_on == "completions":
        return tokens
    return replace(tokens, learned=(False, *[True] * (len(tokens.tokens) - 1)))


def preview(run: SftRun) -> str:
    """What a run would do, with everything checked and nothing written. Raises as `prepare` does."""
    setup = prepare(run)
    [first] = items_of_step(setup.examples, 1, seed=run.seed, step=1)
    learned = [first.tokens[place] for place in first.targets]
    return "\n".join(
        [
            to_toml(run),
            f"# {setup}",
            *(f"# {note}" for note in setup.notes),
            f"# {len(setup.examples):,} training and {len(setup.held_out):,} held-out examples; "
            f"the first, of {len(first.tokens)} tokens:",
            *_quoted(setup, first.tokens),
            f"# of which {len(learned)} are learned:",
            *_quoted(setup, learned),
            "# nothing was written",
        ]
    )


def _quoted(setup: SftSetup, tokens: Sequence[int]) -> list[str]:
    text = visible(setup.policy.tokenizer.decode(tokens), LONGEST_TEXT)
    return [f"#   {line}" for line in text.split("\n")]
