"""What a run reads and learns, as text: the rendered conversation with the learned tokens between marks."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from paring.policy.chat import opened_text, prompt_tokens
from paring.policy.loading import load_tokenizer
from paring.policy.packing import Labelled
from paring.policy.rendering import closing_tokens
from paring.runtime.faults import Faults
from paring.runtime.text import visible
from paring.tasks.mixture import by_label
from paring.training.config import AnyRun, Run, SftRun
from paring.training.draws import items_of_step, problems_of_step
from paring.training.sft_setup import labelled

BEGIN, END = "⟦", "⟧"
LONGEST_TEXT = 4000
"""Characters of a quotation."""


def quoted(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> list[str]:
    """The text of tokens as lines of a preview."""
    return _lines(_text(tokenizer, tokens))


def marked(tokenizer: PreTrainedTokenizerBase, example: Labelled) -> list[str]:
    """The text of an example as lines of a preview, what is learned between marks."""
    return _lines(_marked(tokenizer, example))


def shown_tokens(run: AnyRun, answers: Sequence[Mapping[str, object]], *, step: int, limit: int) -> str:
    """What a run's model reads and learns: the `answers`, rows of samples.jsonl; where there are none, the examples of
    a step of a supervised run, or the prompts of a step.

    Raises ValueError, and FileNotFoundError where data are not there."""
    tokenizer = load_tokenizer(run.model)
    if isinstance(run, SftRun):
        drawn = items_of_step(_examples(run, tokenizer), min(limit, run.batch), seed=run.seed, step=step)
        texts = [_marked(tokenizer, example) for example in drawn]
    elif answers:
        texts = [_answered(tokenizer, row) for row in answers]
    else:
        texts = _prompts(run, tokenizer, step, limit)
    legend = f"learned: what stands between {BEGIN} and {END}" + (", and the end of each answer" if answers else "")
    return "\n\n".join([legend, *(visible(text, LONGEST_TEXT) for text in texts)])


def _examples(run: SftRun, tokenizer: PreTrainedTokenizerBase) -> list[Labelled]:
    trained, _, _ = run.data.split_rows()
    faults, ends = Faults("data.broken", run.data.broken), closing_tokens(tokenizer)
    read = [labelled(example, tokenizer, run.data.loss_on, ends, faults) for example in trained]
    faults.check()
    return [piece for pieces in read for piece in pieces if len(piece.tokens) <= run.data.longest]


def _prompts(run: Run, tokenizer: PreTrainedTokenizerBase, step: int, limit: int) -> list[str]:
    count = min(limit, run.rollout.problems)
    parts = by_label(run.task, run.task.problems("train"))
    problems = problems_of_step(run.task, parts, count, seed=run.seed, step=step)
    return [_text(tokenizer, prompt_tokens(tokenizer, problem.messages)) + BEGIN for problem in problems]


def _answered(tokenizer: PreTrainedTokenizerBase, row: Mapping[str, object]) -> str:
    """A prompt and the answer sampled for it, of which the prompt may hold the beginning."""
    prompt = row["prompt"]
    assert isinstance(prompt, list), "samples.jsonl holds prompts as lists of turns"
    tokens = prompt_tokens(tokenizer, prompt)
    written = str(row["completion"]).removeprefix(opened_text(tokenizer, tokens))
    return f"{_text(tokenizer, tokens)}{BEGIN}{written}{END}{'' if row['ended'] else ' (cut off)'}"


def _marked(tokenizer: PreTrainedTokenizerBase, example: Labelled) -> str:
    pairs = zip(example.learned, example.tokens, strict=True)
    spans = [(learned, [token for _, token in span]) for learned, span in groupby(pairs, key=lambda pair: pair[0])]
    return "".join(
        f"{BEGIN}{_text(tokenizer, tokens)}{END}" if learned else _text(tokenizer, tokens) for learned, tokens in spans
    )


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _lines(text: str) -> list[str]:
    return [f"#   {line}" for line in visible(text, LONGEST_TEXT).split("\n")]
