"""The most tokens of a sequence, by what a model's configuration says."""

from transformers import PreTrainedConfig

from paring.policy.packing import PackedBatch

CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""The settings by which families call the most positions of a sequence."""
UNBOUNDED = 2**31
"""The context of a model that names none: a state or distances take the place of positions."""


def context_of(config: PreTrainedConfig) -> int:
    """The most tokens of a sequence, by whatever name the configuration has for it; UNBOUNDED where it has none. Never
    more than those beyond which rotary embeddings change: see `switch_of`."""
    text = config.get_text_config()
    named = next((getattr(text, name) for name in CONTEXTS if getattr(text, name, None)), UNBOUNDED)
    return min(named, switch_of(config))


def switch_of(config: PreTrainedConfig) -> int:
    """The longest pass in which rotary embeddings have the frequencies of a short one; UNBOUNDED where they never have
    others. "longrope" and "dynamic" choose them by the longest sequence of a pass, so that beyond it a token's log-prob
    depends on what comes later, and on its neighbours in the pass."""
    text = config.get_text_config()
    given = getattr(text, "rope_parameters", None) or {}
    switches = [UNBOUNDED]
    for kind in (given, *(part for part in given.values() if isinstance(part, dict))):
        if kind.get("rope_type") == "longrope":
            switches.append(kind.get("original_max_position_embeddings") or text.original_max_position_embeddings)
        elif "dynamic" in str(kind.get("rope_type")):
            switches.append(text.max_position_embeddings)
    return min(switches)


def check_switch(config: PreTrainedConfig, batch: PackedBatch) -> None:
    """Raises ValueError where a sequence of the batch is so long that rotary embeddings change."""
    longest = max((span.prefix_length + span.length for span in batch.layout.spans), default=0)
    if longest > (switch := switch_of(config)):
        raise ValueError(
            f"a sequence of {longest} tokens exceeds the {switch} up to which the model's rotary embeddings are the "
            "same: shorten prompts or answers"
        )
