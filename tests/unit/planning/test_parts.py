"""Each part of the memory: numbers by hand for a tiny Llama, and what autograd really keeps of real models."""

from dataclasses import replace
from math import inf

import pytest
import torch
from torch import nn
from transformers import GemmaConfig, GemmaForCausalLM

from paring.adapters import lowrank
from paring.adapters.attach import attach, parameters_by_name
from paring.adapters.kinds import Dora, L1ra, Lora
from paring.planning import parts
from paring.planning.estimate import PART_NAMES, estimate
from paring.planning.hardware import Machine
from paring.planning.job import Batches, Job, PackedRow, Rollouts
from paring.planning.shapes import on_meta, shapes_of, targets_of
from paring.policy.model import forward
from paring.policy.packing import Shared, pack
from paring.policy.recording import Recording
from paring.rollout.packed_policy import sampler

WORK = Rollouts(problems=3, group=4, prompt=10, new_tokens=40, rows_at_once=512)


@pytest.fixture
def model(tiny):
    """hidden 32, MLP 48, 2 layers, 4 heads of 8 over 2 key heads, 64 words, head not tied."""
    return on_meta(tiny().config)


@pytest.fixture
def shapes(model):
    return shapes_of(model)


@pytest.fixture
def job(model):
    return Job("lora", 4, targets_of(model, "all-linear"), WORK, tokens_per_pass=2048)


def test_a_model_on_meta_counts_as_the_real_one(tiny, family):
    model = tiny(family)
    shapes = shapes_of(on_meta(model.config))
    assert shapes == shapes_of(model)
    assert shapes.parameters == model.num_parameters()
    assert shapes.written_out


@pytest.mark.parametrize("adapter", [Lora(rank=4), L1ra(rank=4)], ids=["lora", "l1ra"])
def test_trained_numbers_are_those_of_the_attached_adapters(tiny, adapter):
    model = tiny()
    meta = on_meta(model.config)
    slack = adapter.slack if isinstance(adapter, L1ra) else 1.0
    job = Job(adapter.kind, 4, targets_of(meta, "all-linear"), WORK, tokens_per_pass=2048, slack=slack)
    real = parameters_by_name(attach(model, adapter, seed=0)).values()
    assert parts.trained(shapes_of(meta), job) == sum(parameter.numel() for parameter in real)


def test_weights(shapes, job):
    # A layer: 1024 + 512 + 512 + 1024 + 3 x 1536 = 7,680; beside them 2 x 2,048 embeddings and 5 norms of 32.
    assert (shapes.linear_weights, shapes.parameters) == (15_360, 15_360 + 4_096 + 160)
    assert parts.base_weights(shapes, job) == 4 * 19_616
    assert parts.base_weights(shapes, replace(job, itemsize=2, state_itemsize=2)) == 2 * 19_616
    # On a CPU hidden states stay in fp32, and so does the head: 64 x 32.
    assert parts.base_weights(shapes, replace(job, itemsize=2)) == 2 * 19_616 + 4 * 2_048
    # 4 bits a weight, a byte for 64 of them, 4 bytes for 16,384; the rest as it was.
    assert parts.base_weights(shapes, replace(job, quantisation="4bit")) == 7_680 + 240 + 3 + 4 * 4_256
    # A byte a weight, and a scale for each of 2 x 224 outputs.
    assert parts.base_weights(shapes, replace(job, quantisation="8bit")) == 15_360 + 4 * 448 + 4 * 4_256


def test_what_is_trained_and_what_follows_from_it(shapes, job):
    # Inputs + outputs of a layer's modules: 64 + 48 + 48 + 64 + 3 x 80 = 464.
    assert parts.trained(shapes, job) == 4 * 2 * 464
    assert parts.adapters(shapes, job) == parts.gradients(shapes, job) == 4 * 3_712
    assert parts.moments(shapes, job) == 8 * 3_712
    full = replace(job, kind="full", itemsize=2)
    assert parts.adapters(shapes, full) == 0
    assert parts.gradients(shapes, full) == 2 * 19_616
    assert parts.moments(shapes, full) == 8 * 19_616


def test_l1ra_at_its_dearest(shapes, job):
    # With a budget of parameters: LoRA's of the start rank, and a gate for each of 14 x 6 ranks.
    ours = replace(job, kind="l1ra", slack=1.5)
    assert parts.trained(shapes, ours) == 6 * 2 * 464 + 84
    # With one of ranks: 1 each, and the other 70 on modules of 80 + 1, which hold 32 each at most.
    ranks = replace(ours, budget="ranks")
    assert parts.trained(shapes, ranks) == 2 * 464 + 14 + 70 * 81
    assert sorted(parts.most_ranks(ranks).values()) == [1] * 11 + [9, 32, 32]
    # The reference knows no cap.
    assert max(parts.most_ranks(replace(ranks, kind="l1ra-reference", slack=1.0)).values()) == 43


def test_other_papers_rules_at_their_dearest(shapes, job):
    # AdaLoRA's rule starts at 1.5 x 4, and beside Adam's moments has two numbers of its own.
    adalora = replace(job, kind="adalora", slack=1.5)
    assert parts.trained(shapes, adalora) == 6 * 2 * 464
    assert parts.moments(shapes, adalora) == 16 * 6 * 2 * 464
    assert parts.trained(shapes, replace(job, kind="allocated")) == 3_712
    # All 56 ranks on modules of 80: at most 32 each.
    ranks = replace(job, kind="allocated", budget="ranks", floor=0)
    assert parts.trained(shapes, ranks) == 56 * 80
    assert sorted(parts.most_ranks(ranks).values()) == [0] * 12 + [24, 32]


def test_dora_trains_a_number_a_row_and_keeps_outputs(shapes, job):
    dora = replace(job, kind="dora")
    # The outputs of a layer's seven modules: 32 + 16 + 16 + 32 + 48 + 48 + 32.
    assert parts.trained(shapes, dora) == 3_712 + 2 * 224
    assert parts.adapter_inputs(shapes, dora) == parts.adapter_inputs(shapes, job) + 4 * 2 * 224


def test_the_largest_pass():
    assert WORK.largest_pass(2048) == PackedRow(prompts=3, prompt=10, rows=12, own=39, predicted=480)
    assert WORK.largest_pass(2048).tokens == 30 + 12 * 39
    assert WORK.largest_pass(100) == PackedRow(prompts=1, prompt=10, rows=2, own=39, predicted=80)
    assert WORK.largest_pass(1).rows == 1  # a completion is never cut
    assert replace(WORK, new_tokens=1).largest_pass(2048) == PackedRow(3, 10, 12, 0, 12)
    assert Batches(batch=8, longest=101).largest_pass(450) == PackedRow(4, 100, 0, 0, 400)
    assert Batches(batch=2, longest=101).largest_pass(450).prompts == 2


def test_rollout(shapes, job):
    # 3 x (10 + 4 x 64) tokens, of 2 x 2 heads x 8 numbers in 2 layers; and 20 bytes for each of 12 x 40 places.
    assert parts.rollout_cache(shapes, job) == 798 * 256 + 9_600
    one_group = replace(job, work=replace(WORK, rows_at_once=4))
    assert parts.rollout_cache(shapes, one_group) == 266 * 256 + 9_600
    assert parts.rollout_copy(shapes, job) == 0
    assert parts.rollout_copy(shapes, replace(job, folds=True)) == 4 * (15_360 + 2_048)
    supervised = replace(job, work=Batches(8, 64), folds=True)
    assert not any(f(shapes, supervised) for f in (parts.rollout_cache, parts.rollout_copy, parts.rollout_working))


def test_a_recording_is_as_large_as_the_engine_s(shapes, job, make_policy):
    # 64 of heads, 2 x 32 of hidden states and 2 x 48 of gate and up, 2 layers, 3 x (10 + 4 x 39) tokens.
    assert parts.whole_recording(shapes, job) == 4 * 224 * 2 * 498
    recording = Recording(1e9)
    sampler(make_policy("llama"), recording, tokens=498)
    assert sum(part.nbytes for part in recording.parts.values()) == 4 * 224 * 2 * 498
    assert parts.whole_recording(shapes, replace(job, work=Batches(8, 64))) == 0


def test_a_recording_takes_no_more_than_its_bound_and_replaces_activations_where_it_fits(shapes, job):
    whole = parts.whole_recording(shapes, job)
    recorded = replace(job, record_bytes=1e9)
    assert parts.recording(shapes, job) == 0 and parts.recording(shapes, recorded) == whole
    assert parts.recording(shapes, replace(job, record_bytes=1e3)) == 1_000
    deeper = replace(shapes, layers=7)
    assert parts.activations(deeper, recorded) <= parts.activations(shapes, recorded) < parts.activations(shapes, job)
    for other in (replace(recorded, record_bytes=whole - 1), replace(recorded, steps=2)):
        assert parts.activations(shapes, other) == parts.activations(shapes, job)


def test_logits_are_bounded_by_the_chunk(shapes, job, monkeypatch):
    hidden = 2 * 480 * 32 * 4
    assert parts.logits(shapes, job) == 480 * 64 * 8 + hidden
    monkeypatch.setattr(parts, "CHUNK_LOGITS", 640)
    assert parts.logits(shapes, job) == 640 * 8 + hidden


def test_a_gpu_keeps_adapters_in_the_type_of_the_base_and_room_for_whole_answers(shapes, job, monkeypatch):
    narrow = replace(job, itemsize=2, state_itemsize=2)
    wide = replace(narrow, on_gpu=True)
    # In a layer q, k and v read one tensor of 32, gate and up another; o reads 32 and down 48: 144 numbers of a token.
    assert parts.adapter_inputs(shapes, wide) == 2 * 2 * (144 + 7 * 4)
    # On a CPU each of seven adapters has its input in fp32.
    assert parts.adapter_inputs(shapes, narrow) == 4 * 2 * (6 * 32 + 48 + 7 * 4)
    assert parts.adapter_copies(shapes, wide) == 2 * parts.trained(shapes, wide)
    assert parts.adapter_copies(shapes, narrow) == parts.adapter_copies(shapes, replace(job, on_gpu=True)) == 0
    # 40 own tokens, where blocks of 32 would be 64; 128 bytes a token in bf16.
    assert parts.rollout_cache(shapes, wide) == 3 * (10 + 4 * 40) * 128 + 9_600
    monkeypatch.setattr(parts, "CHUNK_LOGITS", 640)
    monkeypatch.setattr(parts, "CHUNK_LOGITS_GPU", 6_400)
    hidden = 2 * 480 * 32 * 2
    assert parts.logits(shapes, wide) == 6_400 * 10 + hidden and parts.logits(shapes, narrow) == 640 * 10 + hidden


def test_what_autograd_keeps_of_an_adapter_on_a_gpu_is_counted(monkeypatch):
    """One module of 64 inputs, 48 outputs and rank 4 on 100 tokens, its products in bf16 as a GPU makes them."""
    monkeypatch.setattr(lowrank, "product_dtype", lambda x, weights: x.dtype)
    base = nn.Linear(64, 48, bias=False).to(torch.bfloat16)
    adapter = lowrank.LowRankLinear(base, rank=4, scale=1.0, generator=torch.Generator().manual_seed(0))
    kept, x = {}, torch.randn(100, 64).to(torch.bfloat16).requires_grad_()
    own = {parameter.untyped_storage().data_ptr() for parameter in adapter.parameters()}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        adapter(x)
    # The input, A x, and A and B: all in bf16.
    assert sum(kept.values()) == 2 * (100 * 64 + 100 * 4 + 4 * (64 + 48))


def kept_bytes(model, batch) -> int:
    """What autograd keeps of a forward pass, each storage once, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = forward(model)(batch.token_N[None], batch.position_N[None], batch.layout)
    assert hidden.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


def packed_as(work: Rollouts):
    completion = [1 + place % 50 for place in range(work.new_tokens)]
    group = Shared([2] * work.prompt, [completion] * work.group)
    return pack([group] * work.problems, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["lora", "l1ra", "dora"])
def test_activations_are_what_autograd_keeps(tiny, family, dtype, kind):
    model = tiny(family).to(dtype)
    meta = on_meta(model.config)
    made = {"lora": Lora(rank=4), "l1ra": L1ra(rank=4, slack=1.0), "dora": Dora(rank=4)}
    attach(model, made[kind], seed=0)
    model.set_attn_implementation("paring")
    job = Job(kind, 4, targets_of(meta, "all-linear"), WORK, tokens_per_pass=2048, itemsize=dtype.itemsize)
    kept = kept_bytes(model, packed_as(WORK))
    assert parts.activations(shapes_of(meta), job) == pytest.approx(kept, rel=0.06)


def test_activations_of_another_architecture_are_a_rougher_guess():
    config = GemmaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=64,
    )
    meta, model = on_meta(config), GemmaForCausalLM(config).eval()
    attach(model, Lora(rank=4), seed=0)
    model.set_attn_implementation("paring")
    job = Job("lora", 4, targets_of(meta, "all-linear"), WORK, tokens_per_pass=2048)
    assert not shapes_of(meta).written_out
    assert parts.activations(shapes_of(meta), job) == pytest.approx(kept_bytes(model, packed_as(WORK)), rel=0.2)


def test_a_replay_holds_one_layer_but_a_rank_event_makes_a_pass(shapes, job):
    recorded = replace(job, record_bytes=parts.whole_recording(shapes, job))
    assert parts.activations(shapes, recorded) < parts.activations(shapes, job)
    moving = replace(job, kind="adalora")
    assert parts.activations(shapes, replace(recorded, kind="adalora")) == parts.activations(shapes, moving)


def test_bounded_activations(shapes, job):
    whole = parts.activations(shapes, job)
    layer = parts.layer_keeps(shapes, job, job.largest_pass)
    assert whole == round(2 * layer)
    # One of two layers keeps its input alone, and then all when it is computed again.
    expected = job.largest_pass.tokens * shapes.numbers_per_token * 4
    bounded = replace(job, activation_bytes=1.5 * expected)
    assert parts.layers_kept(shapes, bounded, job.largest_pass) == 1
    assert parts.activations(shapes, bounded) == round(2 * layer + job.largest_pass.tokens * 32 * 4)
    assert parts.layers_kept(shapes, replace(job, activation_bytes=inf), job.largest_pass) == 2


def test_the_fused_kernel_makes_no_copies(shapes, job):
    row = job.largest_pass
    copies = parts.attention_keeps(shapes, job, row) - parts.attention_keeps(shapes, replace(job, fused=True), row)
    # Each of 12 rows has the prompt's 10 keys and values of 2 heads of 8 again, and 39 x 49 numbers of a mask.
    assert copies == 4 * (12 * 10 * 2 * 2 * 8 + 12 * 39 * 49)


def test_the_peak_is_the_moment_that_holds_most(shapes, job):
    job = replace(job, folds=True)
    adds, reuses = (estimate(shapes, job, Machine("CPU", 10**9, 1000, reuses=reuses)) for reuses in (False, True))
    assert tuple(adds.parts) == PART_NAMES
    # So small a vocabulary takes less for its logits than the gradients within an MLP do.
    assert adds.moment == reuses.moment == "backward"
    kept = parts.activations(shapes, job) + parts.layouts(job) + parts.backward_working(shapes, job)
    assert reuses.peak == 1000 + 4 * 19_616 + 16 * 3_712 + kept
    assert adds.peak - reuses.peak == parts.rollout_copy(shapes, job) + parts.rollout_cache(shapes, job)
    many_words = replace(shapes, vocabulary=100 * shapes.vocabulary)
    assert estimate(many_words, job, Machine("CPU", 10**9, 1000, reuses=True)).moment == "loss"
    wide = replace(job, work=Rollouts(1, 512, 10, 2, 512), tokens_per_pass=64)
    assert estimate(shapes, wide, Machine("CPU", 10**9, 1000, reuses=True)).moment == "rollout"
