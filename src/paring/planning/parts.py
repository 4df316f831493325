"""The parts of a run's memory, each a formula in bytes: pure functions of a model's sizes and of the job."""

from math import inf

from paring.maths.logprobs import CHUNK_LOGITS, CHUNK_LOGITS_GPU
from paring.planning.job import Job, PackedRow, Rollouts
from paring.planning.shapes import Linear, Shapes
from paring.rollout.cache import BLOCK
from paring.rollout.room import key_value_bytes

FP32, INT64 = 4, 8
DRAWN_TOKEN = 72
"""Bytes of a drawn token as Python holds it, an integer and a float, each with its place in a tuple."""
NF4_BLOCK, SCALE_BLOCK = 64, 256
"""bitsandbytes' NF4: one scale for 64 weights, itself in 8 bits with one fp32 scale for 256 of them (QLoRA, sec. 3)."""
LOGITS_AT_ONCE = 2
"""A chunk's logits, and the copy of which logsumexp takes the sum (maths/logprobs.py)."""
LOGITS_BESIDE = {"nothing": 0, "entropy": 3, "divergence": 5}
"""Chunks in fp32 that are alive at once: logits, log-probs and probabilities; and of a teacher logits and log-probs."""
LOGITS_OF_A_DRAW = 3
"""Logits, divided by the temperature, and their exponentials (rollout/noise.py)."""


def base_weights(shapes: Shapes, job: Job) -> int:
    """Bytes of the base in its type that this process holds. Where it is divided: a part of the layers and of both
    ends, and the rest whole."""
    if not job.is_divided:
        return whole_base(shapes, job)
    apart = -(-shapes.in_layers // job.processes) - (-shapes.at_ends // job.processes)
    return job.itemsize * (shapes.parameters - shapes.in_layers - shapes.at_ends + apart)


def gathered_ends(shapes: Shapes, job: Job) -> int:
    """Embedding and head of a divided base, whole for a pass: as they arrive, and in their modules."""
    return 2 * job.itemsize * shapes.at_ends if job.is_divided else 0


def gathered_layer(shapes: Shapes, job: Job) -> int:
    """The same of a layer, whole for its pass and its backward."""
    return 2 * job.itemsize * shapes.in_layers // shapes.layers if job.is_divided else 0


def whole_base(shapes: Shapes, job: Job) -> int:
    """The base in its type, its linear modules perhaps quantised; embeddings, head and norms never are. Where hidden
    states are in another type, the head is there in theirs too."""
    linear = shapes.linear_weights
    head = 0 if job.state_itemsize == job.itemsize else shapes.head * job.state_itemsize
    dense = (shapes.parameters - linear) * job.itemsize + head
    if job.quantisation == "4bit":
        return dense + linear // 2 + linear // NF4_BLOCK + FP32 * linear // (NF4_BLOCK * SCALE_BLOCK)
    if job.quantisation == "8bit":
        return dense + linear + FP32 * sum(module.outputs for module in shapes.linear)  # one scale a row
    return dense + linear * job.itemsize


def trained(shapes: Shapes, job: Job) -> int:
    """Numbers that are trained, at the most that the kind of adapter can come to."""
    if job.kind == "full":
        return shapes.parameters
    lengths = sum(module.outputs for module in job.targets) if job.kind == "dora" else 0
    return lengths + sum(rank * (module.rank_cost + job.is_gated) for module, rank in most_ranks(job).items())


def most_ranks(job: Job) -> dict[Linear, int]:
    """The ranks at their dearest. LoRA's are fixed, those of AdaLoRA and SoRA fall. With a budget of parameters it is
    where they start, too, at slack x rank: what moves costs no more, but for the few gates that more ranks on cheap
    modules have. With a budget of ranks, all of them on the widest modules, up to the cap."""
    ranks = {module: job.first_rank_of(module) for module in job.targets}
    if job.budget == "parameters" or job.kind in ("lora", "dora", "sora", "adalora"):
        return ranks
    # The reference knows no cap, and a cap of 0 is eight times the rank (adapters/l1ra.py).
    greatest = inf if job.kind == "l1ra-reference" else max(*ranks.values(), job.cap or 8 * job.rank)
    free = sum(ranks.values())
    ranks = dict.fromkeys(job.targets, min(job.floor, job.rank))
    free -= sum(ranks.values())
    for module in sorted(job.targets, key=lambda module: -module.rank_cost):
        given = int(min(free, greatest - ranks[module]))
        ranks[module] += given
        free -= given
    return ranks


def adapters(shapes: Shapes, job: Job) -> int:
    """A, B and gates in fp32, and copies of earlier steps. Full training has none: its weights are the base's."""
    return 0 if job.kind == "full" else FP32 * trained(shapes, job) * (1 + job.copies_kept)


def gradients(shapes: Shapes, job: Job) -> int:
    """One number for each that is trained, in its type."""
    return trained(shapes, job) * (job.itemsize if job.kind == "full" else FP32)


def moments(shapes: Shapes, job: Job) -> int:
    """Adam's two, in fp32; AdaLoRA's rule keeps two more, the mean and the spread of its sensitivity."""
    return (4 if job.kind == "adalora" else 2) * FP32 * trained(shapes, job)


def rollout_copy(shapes: Shapes, job: Job) -> int:
    """Weights folded with their adapters and packed for the CPU's matrix library, the head among them."""
    if not (job.folds and job.samples):
        return 0
    return job.itemsize * shapes.linear_weights + job.state_itemsize * shapes.head


def recording(shapes: Shapes, job: Job) -> int:
    """The part of its forward pass that a rollout keeps for the first update. A larger one is given up, but has taken
    its room by then."""
    return round(min(job.record_bytes, whole_recording(shapes, job)))


def whole_recording(shapes: Shapes, job: Job) -> int:
    """Outputs of the products of all layers, for every token that is fed (policy/recording.py)."""
    work = job.samples
    if work is None:
        return 0
    heads = (shapes.heads + 2 * shapes.key_heads) * shapes.head_size
    tokens = work.problems * (work.prompt + work.group * (work.new_tokens - 1))
    return FP32 * shapes.layers * tokens * (heads + 2 * shapes.hidden + 2 * shapes.intermediate)


def rollout_cache(shapes: Shapes, job: Job) -> int:
    """Keys and values: of a prompt once for its group, or for each row where passes are not packed; of each row its own
    tokens, in blocks or on a GPU all of them; and what a row writes down: token, log-prob and uniform number of each
    place."""
    work = job.samples
    if work is None:
        return 0
    own = work.new_tokens if job.on_gpu else -(-work.new_tokens // BLOCK) * BLOCK
    tokens = work.groups_at_once * (work.prompt * _prompts(job, work) + work.group * own)
    per_token = key_value_bytes(
        layers=shapes.layers, key_heads=shapes.key_heads, head_size=shapes.head_size, itemsize=job.state_itemsize
    )
    return tokens * per_token + work.problems * work.group * work.new_tokens * (8 + 4 + 8)


def _prompts(job: Job, work: Rollouts) -> int:
    """How often a prompt is computed for its group."""
    return 1 if job.packed else work.group


def rollout_working(shapes: Shapes, job: Job) -> int:
    """The larger of: one prompt pass, of which one layer's MLP is alive; one draw."""
    work = job.samples
    if work is None:
        return 0
    tokens = work.groups_at_once * work.prompt * _prompts(job, work)
    prefill = tokens * (3 * shapes.intermediate + 3 * shapes.hidden) * job.state_itemsize
    draw = work.groups_at_once * work.group * shapes.vocabulary * LOGITS_OF_A_DRAW * FP32
    return max(prefill, draw)


def activations(shapes: Shapes, job: Job) -> int:
    """All that the layers of the largest pass keep for their backward. Where `activation_bytes` bounds it, the layers
    that are computed again keep their input, and one of them at a time all. A replay holds one layer alone, but the
    pass of a rank event is none."""
    row = job.largest_pass
    layer = layer_keeps(shapes, job, row)
    if job.steps == 1 and not job.looks and 0 < whole_recording(shapes, job) <= job.record_bytes:
        # Every backward pass goes through the recording. Beside the layer stand its outputs as they are taken from it,
        # queries and keys twice (policy/replay.py).
        heads = (2 * shapes.heads + 3 * shapes.key_heads) * shapes.head_size
        return round(layer + FP32 * row.tokens * (heads + 4 * shapes.hidden))
    kept = layers_kept(shapes, job, row)
    again = shapes.layers - kept
    input_alone = again * row.tokens * shapes.hidden * job.state_itemsize
    return round(kept * layer + input_alone + (layer if again else 0))


def layouts(job: Job) -> int:
    """Masks and places of all completions, and the completions, which a step of reinforcement learning holds for all
    its passes. Supervised passes are made one after the other."""
    work = job.work
    if not isinstance(work, Rollouts):
        return 0
    seen = work.prompt + work.new_tokens
    mask = 0 if job.fused else seen * (work.new_tokens + INT64)  # a byte for each pair, and the places of the keys
    return work.problems * work.group * (mask + work.new_tokens * (5 * INT64 + DRAWN_TOKEN))


def layers_kept(shapes: Shapes, job: Job, row: PackedRow) -> int:
    """As Decoder decides it."""
    if not shapes.written_out:
        return shapes.layers
    expected = row.tokens * shapes.numbers_per_token * job.state_itemsize
    return int(min(shapes.layers, job.activation_bytes / expected))


def layer_keeps(shapes: Shapes, job: Job, row: PackedRow) -> float:
    """Bytes that one layer keeps of a packed row: its own steps, attention's copies, and what its adapters need."""
    # The norms' inputs; transformers' own norms compute in fp32 and keep that copy.
    normed = 2 * shapes.hidden + (shapes.head_norms and (shapes.heads + shapes.key_heads) * shapes.head_size)
    norms = normed * (job.state_itemsize if shapes.written_out else FP32)
    # gate and up; transformers' silu(gate) * up keeps silu(gate) as well.
    mlp = (2 if shapes.written_out else 3) * shapes.intermediate * job.state_itemsize
    own = row.tokens * (norms + mlp + adapter_inputs(shapes, job) / shapes.layers)
    return own + adapter_copies(shapes, job) / shapes.layers + attention_keeps(shapes, job, row)


def attention_keeps(shapes: Shapes, job: Job, row: PackedRow) -> int:
    """Queries and outputs, keys and values, in the copies that the layout makes, the mask as numbers, and one
    normaliser a head. The fused kernel makes no copies and no mask."""
    queries = 2 * shapes.heads * shapes.head_size * row.tokens
    keys = 2 * shapes.key_heads * shapes.head_size * (row.tokens if job.fused else row.keys)
    mask = 0 if job.fused else row.scores
    return (queries + keys + mask) * job.state_itemsize + shapes.heads * row.tokens * FP32


def adapter_inputs(shapes: Shapes, job: Job) -> int:
    """Bytes of a token, all layers together: the input of every module that is trained, and A x. In fp32 modules that
    read the same tensor share it, and on a GPU in all types; on a CPU each adapter has its own fp32 copy in others.
    DoRA keeps the outputs as well, before they are multiplied."""
    if job.kind == "full":
        return job.state_itemsize * sum(inputs for _, inputs, _ in {module.source for module in shapes.linear})
    ranks = most_ranks(job)
    outputs = job.state_itemsize * sum(module.outputs for module in job.targets) if job.kind == "dora" else 0
    if job.state_itemsize == FP32 or job.on_gpu:
        shared = sum(inputs for _, inputs, _ in {module.source for module in job.targets})
        return outputs + job.state_itemsize * (sum(ranks.values()) + shared)
    inner = outputs + FP32 * sum(ranks.values())
    return inner + FP32 * sum(module.inputs for module in job.targets)


def adapter_copies(shapes: Shapes, job: Job) -> int:
    """A and B in the type of the base, by which a GPU multiplies and which the backward keeps; none of them in fp32."""
    copied = job.kind != "full" and job.on_gpu and job.itemsize != FP32
    return job.itemsize * trained(shapes, job) if copied else 0


def logits(shapes: Shapes, job: Job) -> int:
    """The chunk of logits that is alive, in fp32 and once in the model's type where that is another, or the chunks of
    what is computed beside log-probs. And hidden states for each predicted token: the head's input, and the gradients
    of its log-prob and of what stands beside it."""
    predicted = job.largest_pass.predicted
    most = CHUNK_LOGITS_GPU if job.on_gpu else CHUNK_LOGITS
    chunk = min(predicted * shapes.vocabulary, max(shapes.vocabulary, most))
    in_type = 0 if job.state_itemsize == FP32 else job.state_itemsize
    alive = max(LOGITS_AT_ONCE * FP32 + in_type, LOGITS_BESIDE[job.beside] * FP32)
    states = 2 if job.beside == "nothing" else 3
    return chunk * alive + states * predicted * shapes.hidden * job.state_itemsize


def backward_working(shapes: Shapes, job: Job) -> int:
    """Gradients alive within a layer's MLP, at its widest: of the product, of gate and of up, and one step between."""
    return job.largest_pass.tokens * (4 * shapes.intermediate + 2 * shapes.hidden) * job.state_itemsize
