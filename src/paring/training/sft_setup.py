"""Set-up of a supervised run: every fault of the user's is found here, before any work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from paring.policy.chat import conversation_tokens
from paring.policy.model import Policy
from paring.policy.packing import Labelled
from paring.policy.tokens import check_rows, embedding_rows
from paring.runtime.faults import Faults, RowFault
from paring.tasks.row_forms import Conversation
from paring.training.config import SftRun
from paring.training.policy_of_run import Base, base_of_run, load_policy
from paring.training.world import ALONE, World


@dataclass(frozen=True)
class SftSetup:
    """The policy, the examples it trains on and those held out, the rows that are left out, and notes for the user."""

    policy: Policy
    examples: Sequence[Labelled]
    held_out: Sequence[Labelled]
    skipped: Sequence[RowFault]
    notes: Sequence[str]


def prepare(run: SftRun, world: World = ALONE) -> SftSetup:
    """Read the data, load the model, attach the adapters, and turn every example into tokens. `world`: the processes of
    the run, all of which call it.

    Raises ValueError, or FileNotFoundError for data that is not there."""
    rows = world.together(run.data.split_rows)
    base = world.together(lambda: base_of_run(run, world))  # the first passes of a divided base need all processes
    return world.together(lambda: _checked(run, rows, base))


def _checked(run: SftRun, rows: tuple[list[Conversation], list[Conversation], list[RowFault]], base: Base) -> SftSetup:
    trained, tested, skipped = rows
    policy, notes = load_policy(run, base)
    longest = min(run.data.longest, policy.context)
    broken, long = Faults("data.broken", run.data.broken), Faults("data.long", run.data.long)

    def kept(kind: str, part: Sequence[Conversation]) -> list[Labelled]:
        read = [labelled(example, policy.tokenizer, run.data.loss_on, policy.ends, broken) for example in part]
        short: list[Labelled] = []
        for example, pieces in zip(part, read, strict=True):
            for piece in pieces:
                check_rows(piece.tokens, embedding_rows(policy.model), policy.tokenizer, example.place)
            size = max((len(piece.tokens) for piece in pieces), default=0)
            if size > longest:
                long.found.append(RowFault(example.place, "too long", f"{size} tokens, at most {longest} are learned"))
            else:
                short += pieces
        total = sum(map(len, read))
        left_out = f"{total - len(short)} of {total} {kind} examples are longer than {longest} tokens"
        remedy = f"raise data.longest ({run.data.longest}) up to the model's context of {policy.context}"
        if total and not short:
            raise ValueError(f"{run.data.data}: {left_out}, so none is left: shorten them or {remedy}")
        if len(short) < total:
            notes.append(f"{left_out} and left out; to keep them, {remedy}")
        return short

    examples, held_out = kept("training", trained), kept("held-out", tested[: run.evaluate.limit])
    for faults in (broken, long):
        faults.check()
    if not examples or not held_out:
        raise ValueError(f"{run.data.data}: no example is left to train on, or to hold out\n{broken.in_words()}")
    return SftSetup(policy, examples, held_out, [*skipped, *broken.found, *long.found], notes)


def labelled(
    example: Conversation, tokenizer: PreTrainedTokenizerBase, loss_on: str, ends: Collection[int], faults: Faults
) -> list[Labelled]:
    """The tokens of a conversation, as one example or several; none, and a fault, where the template does not fit."""
    try:
        pieces = conversation_tokens(tokenizer, example.messages, tools=example.tools, ends=ends)
    except ValueError as error:
        faults.found.append(RowFault(example.place, "not as the chat template renders them", str(error)))
        return []
    if loss_on == "completions":
        return pieces
    return [replace(piece, learned=(False, *[True] * (len(piece.tokens) - 1))) for piece in pieces]
