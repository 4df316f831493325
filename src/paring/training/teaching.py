"""The teacher of on-policy distillation: opened, checked against the policy, and asked."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from paring.adapters.earlier import EarlierAdapters
from paring.adapters.peft_format import CONFIG
from paring.maths.objective import Objective
from paring.maths.objectives.distillation import SELF, Distillation
from paring.policy.loading import load_base
from paring.policy.model import Policy
from paring.runtime.folder import RunFolder
from paring.training.config import Run
from paring.training.passes import Pass
from paring.training.start import base_of, published_adapters


@dataclass(frozen=True)
class Teaching:
    """The policy that teaches: another model, or the one that is trained, with its adapters of some steps ago."""

    policy: Policy
    exact: bool
    """Whether whole distributions are needed of it, or the log-probs of the sampled tokens alone."""
    earlier: EarlierAdapters | None = None

    def begin(self, step: int) -> None:
        """Step `step` begins."""
        if self.earlier:
            self.earlier.begin(step)

    @torch.no_grad()
    def tell(self, one: Pass, temperature: float) -> None:
        """Give the pass what the teacher makes of its tokens."""
        with self.earlier.older() if self.earlier and self.earlier.older else nullcontext():
            if self.exact:
                one.teacher = self.policy.states(one.batch)
            else:
                one.teacher_BT = self.policy.log_probs(one.batch, temperature=temperature)


def open_teaching(objective: Objective, policy: Policy, run: Run) -> Teaching | None:
    """The teacher that the objective names; None where it has none. It is run at the precision and on the device of the
    policy.

    Raises ValueError where it cannot be opened, where its tokenizer is another than the policy's, and where its
    vocabulary is too small for exact divergences."""
    if not isinstance(objective, Distillation):
        return None
    if objective.teacher == SELF:
        return Teaching(policy, objective.exact, EarlierAdapters(policy.adapters, objective.every))
    try:
        teacher, tokenizer = _opened(objective.teacher, policy, run)
        _check_tokenizer(tokenizer, policy.tokenizer)
        rows, needed = len(teacher.head.weight_VD), len(policy.head.weight_VD)
        if objective.exact and rows < needed:
            raise ValueError(
                f"its vocabulary has {rows:,} tokens, and the policy's {needed:,}: set objective.exact=false, which "
                "asks for the sampled tokens alone"
            )
    except ValueError as error:
        raise ValueError(f"objective.teacher = {objective.teacher!r}: {error}") from error
    return Teaching(teacher, objective.exact)


def _opened(name: str, policy: Policy, run: Run) -> tuple[Policy, PreTrainedTokenizerBase]:
    """The teacher's weights, with the policy's tokenizer, which has made the tokens that it reads; and its own."""
    folder = Path(name).expanduser()
    same = {setting: getattr(run.model, setting) for setting in ("dtype", "device", "kernel", "fused")}
    model = replace(base_of(name), **same)
    base, tokenizer = load_base(model)
    own = RunFolder(folder).adapter if (folder / "run.toml").is_file() else folder
    if own != folder and not own.is_dir():
        raise ValueError("the run has not ended, so that it has no adapter to teach with: finish it first")
    adapters = published_adapters(base, own, model) if (own / CONFIG).is_file() else {}
    return Policy(base, policy.tokenizer, adapters), tokenizer


def _check_tokenizer(theirs: PreTrainedTokenizerBase, ours: PreTrainedTokenizerBase) -> None:
    """Raises ValueError where a token of the policy's stands for another text, or for none, in the teacher."""
    known = {token: word for word, token in theirs.get_vocab().items()}
    for word, token in sorted(ours.get_vocab().items(), key=lambda pair: pair[1]):
        if known.get(token) != word:
            there = "nothing" if token not in known else f"{known[token]!a}"
            raise ValueError(
                f"its tokenizer is another: token {token} is {word!a} for the policy and {there} for the teacher; "
                "take a teacher of the same family"
            )
