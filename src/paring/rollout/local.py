"""The engine that runs here, and the choice of how it decodes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from paring.adapters.attach import state
from paring.policy.chat import answer_text, opened_text
from paring.policy.model import Policy
from paring.policy.packing import packed
from paring.policy.probe import PROMPT, Misfit, compare, narrowed, probe_tokens, reasons, refusing
from paring.policy.recording import Recording
from paring.rollout.conversing import Prompts, sampled_with_replies
from paring.rollout.decoding import Decoding
from paring.rollout.engine import Reproduces, Sampling
from paring.rollout.generated import Generation
from paring.rollout.noise import uniforms
from paring.rollout.packed_policy import sampler
from paring.rollout.room import groups_that_fit
from paring.rollout.snapshot import Snapshot
from paring.rollout.static import StaticDecoding, in_fixed_sizes
from paring.rollout.stopping import Stops, stops_of
from paring.settings.complaints import NotFinite
from paring.types import Completion, Group, Key, Problem

PROBE_STEPS = 4
"""Tokens that a probe decodes."""


@dataclass(frozen=True)
class LocalEngine:
    """Samples from the policy in this process. At most `rows` completions are decoded at once, or one whole group. At
    most `record_bytes` of the forward pass are kept for the update (policy/recording.py)."""

    policy: Policy
    rows: int = 512
    recording: Recording | None = None

    @property
    def reproduces(self) -> Reproduces:
        """See Engine."""
        return "bytes"

    def publish(self) -> Snapshot:
        """See Engine. It samples while the policy is not used by another thread, up to the next rank event."""
        copied = {name: value.clone() for name, value in state(self.policy.adapters).items()}
        return Snapshot(replace(self, recording=None), self.policy.adapters, copied)

    @torch.no_grad()
    def sample(self, problems: Sequence[Problem], group_size: int, sampling: Sampling, key: Key) -> list[Group]:
        """See Engine. Equal weights give equal tokens whatever stands beside them in the batch, up to rounding in
        the matrix library, which can differ with the number of rows and then flip a token at a near tie."""
        context = self.policy.context
        return sampled_with_replies(self._answers, self.policy, context, problems, group_size, sampling, key)

    def _answers(
        self, problems: Sequence[Problem], prompts: Prompts, group_size: int, sampling: Sampling, key: Key
    ) -> list[Group]:
        """As `sample`, after prompts that are given as tokens."""
        most = sampling.max_new_tokens
        noise_BT = np.stack(
            [uniforms(key, problem.id, member, most) for problem in problems for member in problem.members(group_size)]
        )
        stops = stops_of(self.policy.tokenizer, sampling.stop)
        decoding = decoded(
            self.policy,
            prompts,
            group_size,
            sampling,
            noise_BT,
            ends=self.policy.ends,
            rows=self.rows,
            recording=self.recording,
            stops=stops,
        )
        if not decoding.logp_BT.isfinite().all():
            raise NotFinite("the model's probabilities are not finite")
        drawn = zip(decoding.token_BT.tolist(), decoding.logp_BT.tolist(), decoding.length_B.tolist(), strict=True)
        completions, traces = [], decoding.traces()
        for place, (padded, logps, length) in enumerate(drawn):
            prompt = prompts[place // group_size]
            own = completion_of(self.policy, prompt, padded[:length], logps[:length], sampling, stops)
            completions.append(own)
        return [
            Group(problem, prompt, tuple(completions[index * group_size : (index + 1) * group_size]), traces[index])
            for index, (problem, prompt) in enumerate(zip(problems, prompts, strict=True))
        ]


def completion_of(
    policy: Policy,
    prompt: Sequence[int],
    tokens: Sequence[int],
    logprobs: Sequence[float],
    sampling: Sampling,
    stops: Stops | None,
) -> Completion:
    """The tokens that were drawn after a prompt, with their text."""
    ended = tokens[-1] in policy.ends
    text = answer_text(policy.tokenizer, tokens[:-1] if ended else tokens, prompt)
    if stops is not None and not ended and (span := stops.found(tokens)) is not None:
        opened = opened_text(policy.tokenizer, prompt)
        text, ended = text[: len(opened) + span[sampling.keep_stop]], True
    return Completion(tuple(tokens), tuple(logprobs), text, ended)


def decoded(
    policy: Policy,
    prompts: Sequence[tuple[int, ...]],
    group_size: int,
    sampling: Sampling,
    noise_BT: np.ndarray,
    *,
    ends: Collection[int],
    rows: int,
    recording: Recording | None = None,
    stops: Stops | None = None,
) -> Decoding | StaticDecoding | Generation:
    """All completions, each up to a token of `ends` or one that completes a stop string. At most `rows` of them or one
    whole group are decoded at once, and on a GPU no more than its free memory holds."""
    if policy.unpacked is not None:
        generation = Generation(policy, prompts, group_size, sampling, noise_BT, ends, stops)
        generation.run(rows)
        return generation
    fed = sum(map(len, prompts)) + len(noise_BT) * (sampling.max_new_tokens - 1)
    weights = sampler(policy, recording, tokens=fed)
    way, groups = Decoding, max(1, rows // group_size)
    if in_fixed_sizes(policy.device):
        room = groups_that_fit(policy.model, max(map(len, prompts)), sampling.max_new_tokens, group_size)
        way, groups = StaticDecoding, min(groups, room)
    decoding = way(weights, prompts, group_size, sampling, noise_BT, ends, policy.device, stops)
    decoding.run(groups)
    return decoding


@torch.no_grad()
def check_decodes(policy: Policy) -> Policy:
    """The policy, or it unpacked where the steps of packed decoding give tokens other log-probs than the packed pass
    that trains on them; of a model with sliding windows also beyond the window. Where transformers' own decoding
    differs from its own pass, too, as that of RWKV does, the policy decodes without a cache.

    Raises ValueError where that differs as well."""
    if policy.unpacked is None:
        try:
            with reasons():
                _compare_decoding(policy)
                with narrowed(policy.model) as has_windows:
                    if has_windows:
                        narrow = replace(policy)  # made anew, where a pass keeps its windows
                        if narrow.unpacked is not None:
                            raise Misfit(narrow.unpacked)
                        _compare_decoding(narrow)
            return policy
        except Misfit as misfit:
            policy = replace(policy, unpacked=str(misfit))
    try:
        with reasons():
            _compare_decoding(policy)
    except Misfit:
        policy = replace(policy, recomputes=True)
        with refusing(policy.model):
            _compare_decoding(policy)
    return policy


def _compare_decoding(policy: Policy) -> None:
    """Two completions of each of two prompts. Half of all tokens end one, so that rows leave at different steps. Raises
    Misfit."""
    problem = Problem("probe", (), "")
    prompts = [tuple(probe_tokens(policy.model)[:length].tolist()) for length in (PROMPT, PROMPT - 2)]
    noise_BT = np.stack([uniforms(Key(0, 0), problem.id, member, PROBE_STEPS) for member in range(4)])
    ends = range(0, len(policy.head.weight_VD), 2)
    decoding = decoded(policy, prompts, 2, Sampling(max_new_tokens=PROBE_STEPS), noise_BT, ends=ends, rows=4)
    drawn = zip(decoding.token_BT.tolist(), decoding.length_B.tolist(), strict=True)
    completions = [Completion(tuple(tokens[:length]), (), "", False) for tokens, length in drawn]
    groups = [Group(problem, prompt, tuple(completions[2 * at : 2 * at + 2])) for at, prompt in enumerate(prompts)]
    batch = packed(groups, policy.device)
    packed_BT = policy.log_probs(batch, temperature=1.0)
    decoded_BT = decoding.logp_BT[:, : packed_BT.shape[1]] * batch.mask_BT
    what = "a token gets another log-prob while decoding than in a whole pass"
    compare(policy.model, decoded_BT[..., None], packed_BT[..., None], what)
