"""Stop strings: an answer ends with the token that completes one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from paring.policy.chat import answer_text

BROKEN = "\N{REPLACEMENT CHARACTER}"
"""The text of a token that is a part of a character."""


@dataclass(frozen=True, eq=False)
class Stops:
    """The stop strings of a rollout, at least one, looked for in the text of what is sampled."""

    tokenizer: PreTrainedTokenizerBase
    strings: tuple[str, ...]

    def found(self, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The beginning and the end of a stop string in the text of a completion, in characters. Where the last token
        completes several, it is the first in their order, as vLLM has it."""
        text = answer_text(self.tokenizer, tokens)
        places = ((text.find(string), len(string)) for string in self.strings)
        return next(((place, place + length) for place, length in places if place >= 0), None)

    def completed(self, token_L: Tensor, tokens_of: Callable[[int], Sequence[int]]) -> Tensor:
        """Which of the rows their newest token ends: bool [L]. `tokens_of`: a row's whole completion, by its place."""
        ends_L = torch.isin(token_L, self._closing_E.to(token_L.device))
        for place in ends_L.nonzero()[:, 0].tolist():
            ends_L[place] = self.found(tokens_of(place)) is not None
        return ends_L

    def length(self, tokens: Sequence[int], known: int) -> int | None:
        """The length at which a completion ends by a stop string, of those above `known`, to which it does not."""
        closing = self._closing
        lengths = (end for end in range(known + 1, len(tokens) + 1) if tokens[end - 1] in closing)
        return next((end for end in lengths if self.found(tokens[:end]) is not None), None)

    @cached_property
    def _closing(self) -> frozenset[int]:
        """The tokens that can complete a stop string: one ends within their text, or their text has broken characters,
        which those before may make whole. The rest need no look at a whole completion."""
        anchor = self.tokenizer.encode("a", add_special_tokens=False)
        before = answer_text(self.tokenizer, anchor)
        ends = tuple({string[start:] for string in self.strings for start in range(len(string))})
        closing = set()
        for token in range(len(self.tokenizer)):
            text = answer_text(self.tokenizer, [*anchor, token])
            own = text.removeprefix(before)
            is_broken = BROKEN in own or not text.startswith(before)
            if is_broken or own.startswith(ends) or any(one in own for one in self.strings):
                closing.add(token)
        return frozenset(closing)

    @cached_property
    def _closing_E(self) -> Tensor:
        return torch.tensor(sorted(self._closing), dtype=torch.int64)


@lru_cache(maxsize=4)
def stops_of(tokenizer: PreTrainedTokenizerBase, strings: tuple[str, ...]) -> Stops | None:
    """None where there are no stop strings. What a look at the whole vocabulary finds is kept."""
    return Stops(tokenizer, strings) if strings else None
