"""Claim: the training pass of a mixed-length rollout is faster packed, each prompt once, than as a padded batch.

Both give the same log-probs, which is checked first."""

from functools import partial
from statistics import median

import torch
from transformers import PreTrainedModel

from adapted import adapted_policy, lora_of, peft_twin
from batches import evenly, mixed_lengths, random_groups
from measuring import in_turn, median_ratio, options, report, seconds
from passes import packed_pass, padded_pass

TOLERANCE = 1e-3
"""Nats a token."""
SIZES = {"prompts": 4, "group": 8, "shortest_prompt": 94, "longest_prompt": 126, "new_tokens": 128, "rank": 16}


def main() -> None:
    arguments = options(__doc__, "model", at_least=2.4, **SIZES, pairs=3).parse_args()
    lora = lora_of(arguments.rank)
    policy = adapted_policy(arguments.model, lora)
    twin = peft_twin(policy, arguments.model)
    prompts = evenly(arguments.shortest_prompt, arguments.longest_prompt, arguments.prompts)
    completions = mixed_lengths(arguments.prompts * arguments.group, arguments.new_tokens)
    groups = random_groups(prompts, completions, policy.model.config.vocab_size)
    advantage_B = torch.randn(len(completions), generator=torch.Generator().manual_seed(0))
    base = twin.get_base_model()
    assert isinstance(base, PreTrainedModel)
    padded = partial(padded_pass, base, groups, advantage_B)
    packed = partial(packed_pass, policy, groups, advantage_B)
    difference = float((padded() - packed()).abs().max())
    if not difference <= TOLERANCE:
        raise SystemExit(f"the log-probs differ by {difference:.2g}, and at most {TOLERANCE} would be rounding")
    of_peer, of_ours = in_turn(arguments.pairs, partial(seconds, padded), partial(seconds, packed))
    report(
        arguments,
        "training pass, seconds: padded batch of transformers and PEFT / ours",
        median_ratio(of_peer, of_ours),
        seconds_peer=median(of_peer),
        seconds_ours=median(of_ours),
        largest_difference_of_log_probs=difference,
        completion_tokens=sum(completions),
        packed_tokens=sum(prompts) + sum(completions) - len(completions),
        padded_slots=len(completions) * (max(prompts) + max(completions)),
    )


if __name__ == "__main__":
    main()
