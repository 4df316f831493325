"""`paring plan`: any readable configuration, what fits, what to change, words and JSON."""

import json
from dataclasses import replace

import pytest
from transformers import BloomConfig, Gemma2Config, GPT2Config, LlamaConfig, MambaConfig, Qwen3MoeConfig
from typer.testing import CliRunner

from paring import load_run
from paring.cli import app
from paring.planning.advice import changed
from paring.planning.job import KINDS, PackedRow
from paring.planning.parts import rollout_cache
from paring.planning.plan import largest, plan
from paring.planning.plan_words import gigabytes, lines

SIZES = {"vocab_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 32}
KEYED = SIZES | {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}


@pytest.fixture
def folder_of(tmp_path):
    """A folder that holds a config.json and nothing else."""

    def write(config) -> str:
        config.save_pretrained(tmp_path / "model")
        return str(tmp_path / "model")

    return write


@pytest.fixture
def paring():
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_run_s_kind_comes_first_and_the_others_beside_it():
    planned = plan(load_run("quickstart"), memory_gb=24)
    assert list(planned.estimates) == ["lora", "full", "l1ra", "l1ra-reference"]
    assert planned.own is planned.estimates["lora"] and planned.fits
    assert planned.shapes.parameters == 342_336 and planned.trained["lora"] == 43_776
    assert next(iter(plan(load_run("quickstart"), memory_gb=24, kind="l1ra").estimates)) == "l1ra"
    assert set(KINDS) == set(planned.estimates)


def test_fixed_ranks_are_planned_for():
    run = load_run("quickstart", adapter={"ranks": {"*": 0, "down_proj": 3, "model.layers.0.mlp.down_proj": 5}})
    planned = plan(run, memory_gb=24)
    cost = planned.job.targets[0].rank_cost
    assert planned.trained["lora"] == (5 + 3 + 3) * cost and len(planned.job.targets) == 3
    assert planned.trained["l1ra"] > planned.trained["lora"] and planned.coverage["adapted"] < 0.3
    assert "lora of ranks 3 to 5 on 3 modules" in lines(planned)[0]
    with pytest.raises(ValueError, match=r"adapter\.ranks gives the ranks"):
        plan(run, memory_gb=24, find="rank")


def test_a_supervised_run_has_no_rollout():
    planned = plan(load_run("sft-gsm8k-lora", model={"path": "embedded"}), memory_gb=24)
    assert planned.own.parts["rollout copy"] == planned.own.parts["rollout cache"] == 0
    assert planned.job.largest_pass.prompts == 8 and planned.job.largest_pass.prompt == 127  # the context, less one
    assert "8 examples of at most 128 tokens" in "\n".join(lines(planned))


def test_a_mixture_of_experts_counts_all_experts_and_the_active_ones(folder_of):
    config = Qwen3MoeConfig(
        **KEYED, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, max_position_embeddings=256
    )
    planned = plan(load_run("quickstart", model={"path": folder_of(config)}), memory_gb=24)
    assert planned.shapes.intermediate == 2 * 16
    # A layer: attention 3,072 and its norms 16, norms 64, router 128, 4 experts of 3 x 32 x 16.
    assert planned.shapes.parameters == 2 * (3_072 + 16 + 64 + 128 + 6_144) + 32 + 2 * 2_048
    assert len(planned.job.targets) == 2 * 4  # the experts are no linear modules
    assert "rougher guess" in "\n".join(lines(planned))
    # Of matrices, in a layer: attention 3,072, router 128, experts 6,144; and two embeddings.
    total = 2 * (3_072 + 128 + 6_144) + 2 * 2_048
    shares = {"adapted": 6_144, "embeddings": 4_096, "stacked experts": 2 * 6_144, "the rest": 2 * 128}
    assert planned.coverage == pytest.approx(
        {kind: size / total for kind, size in shares.items()},
    )


def test_gemma_2_is_planned_for(folder_of):
    planned = plan(load_run("quickstart", model={"path": folder_of(Gemma2Config(**KEYED))}), memory_gb=24)
    assert len(planned.job.targets) == 14 and planned.own.peak > 0 and planned.job.packed


def test_rows_that_are_not_packed_each_hold_their_prompt(folder_of):
    path = folder_of(BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4))
    planned = plan(load_run("quickstart", model={"path": path}), memory_gb=24, prompt=20)
    # 16 problems, 8 answers of 32 tokens: rows of 20 + 31, as many as 2,048 tokens hold.
    assert not planned.job.packed and planned.job.largest_pass == PackedRow(40, 51, 0, 0, 40 * 32)
    assert "the largest pass has 2,040 padded tokens" in "\n".join(lines(planned))
    packed = replace(planned.job, packed=True)
    assert rollout_cache(planned.shapes, planned.job) > rollout_cache(planned.shapes, packed)


def test_gpt_2_is_planned_for_with_its_transposed_layers(folder_of):
    run = load_run("quickstart", model={"path": folder_of(GPT2Config(**SIZES))})
    # A layer: 32 -> 96, 32 -> 32, 32 -> 128, 128 -> 32.
    assert plan(run, memory_gb=24).trained["lora"] == 2 * 8 * (128 + 64 + 160 + 160)
    planned = plan(run, memory_gb=24, kind="full")
    # Embeddings 64 and 1,024 x 32; a layer 4 x 32 x 3 x 32 weights, 9 x 32 biases, 4 x 32 of norms; the last norm.
    assert planned.trained["full"] == 1_088 * 32 + 2 * (12 * 1_024 + 9 * 32 + 4 * 32) + 64


def test_a_model_without_attention_is_refused(folder_of):
    path = folder_of(MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2))
    with pytest.raises(ValueError, match="Mamba.* has no attention heads"):
        plan(load_run("quickstart", model={"path": path}), memory_gb=24)


def test_bf16_and_quantised_bases_take_less_and_quantised_ones_have_no_packed_copy():
    usual = plan(load_run("quickstart"), memory_gb=24).own
    for setting in ({"dtype": "bfloat16"}, {"quantisation": "4bit"}, {"quantisation": "8bit"}):
        other = plan(load_run("quickstart", model=setting), memory_gb=24).own
        assert other.parts["weights"] < usual.parts["weights"]
        assert other.parts["rollout copy"] < usual.parts["rollout copy"]
        assert (other.parts["rollout copy"] == 0) == ("quantisation" in setting)


def test_a_gpu_can_be_planned_for_where_there_is_none():
    planned = plan(load_run("quickstart", model={"device": "cuda"}), memory_gb=24)
    assert planned.machine.name == "GPU" and planned.job.fused and planned.own.parts["rollout copy"] == 0


@pytest.mark.parametrize("answer", [0, 1, 2, 3, 7, 8, 99, 100])
def test_the_search_ends_at_the_last_that_fits(answer):
    assert largest(lambda n: n <= answer, 100) == answer
    assert largest(lambda n: n <= answer, 50) == min(answer, 50)


@pytest.mark.parametrize("kind", ["lora", "l1ra", "l1ra-reference"])
@pytest.mark.parametrize("find", ["batch", "rank"])
def test_what_is_found_fits_and_one_more_does_not(find, kind):
    run = load_run("quickstart", rollout={"max_new_tokens": 64, "record_gb": 0})
    # Between the peak with 1 problem or rank and that with many.
    memory = 0.62 if find == "batch" else 0.646
    found = plan(run, memory_gb=memory, find=find, kind=kind).largest
    assert 1 < found.value < found.limit
    assert plan(changed(run, found.key, found.value), memory_gb=memory, kind=kind).fits
    assert not plan(changed(run, found.key, found.value + 1), memory_gb=memory, kind=kind).fits


def test_a_change_saves_what_it_says():
    run = load_run("quickstart")
    planned = plan(run, memory_gb=0.6)
    assert not planned.fits and planned.changes
    assert [change.saves for change in planned.changes] == sorted((c.saves for c in planned.changes), reverse=True)
    for change in planned.changes:
        key, value = change.override.split("=")
        after = plan(changed(run, key, int(value) if value.isdigit() else value), memory_gb=0.6)
        assert planned.own.peak - after.own.peak == change.saves and after.fits == change.enough


@pytest.fixture
def shared_out():
    """The plan of a run by servers whose base three processes divide, or of the same with settings changed."""

    def of(processes: int = 3, **changes):
        served = {"engine": "served", "servers": ["http://one:8000"], "problems": 7, "group_size": 4}
        run = load_run("quickstart", rollout=served, parallel={"shard": "layers"}, **changes)
        return plan(run, memory_gb=24, processes=processes)

    return of


def test_a_process_has_its_share_of_the_problems_and_of_a_divided_base(shared_out):
    planned = shared_out()
    shapes, own = planned.shapes, planned.own.parts
    # Three layers of 2 x 96 for norms and the rest for products; embedding and head are one; the last norm has 96.
    layers = 3 * 192 + shapes.linear_weights
    assert shapes.parameters == layers + shapes.at_ends + 96 and shapes.in_layers == layers
    assert own["weights"] == 4 * (-(-layers // 3) - (-shapes.at_ends // 3) + 96)
    assert own["rollout copy"] == own["rollout cache"] == own["recording"] == 0
    assert planned.job.work.problems == 3 and planned.division.least_time == 3 / 7
    assert planned.division.sent == round(2 * 2 / 3 * 4 * planned.trained["lora"])
    assert planned.division.received == round(2 / 3 * 4 * (layers + shapes.at_ends))
    assert planned.division.received_backward == round(2 / 3 * 4 * layers)
    assert planned.machine.usable == 24e9 * 0.85 / 3, "they share the memory"
    assert planned.estimates["full"].parts["weights"] == 4 * shapes.parameters, "full training is not divided"


def test_processes_hold_less_of_the_same_run():
    run = load_run("quickstart", rollout={"problems": 8})
    one, two, again = (plan(run, memory_gb=24, processes=count) for count in (1, 2, 8))
    assert one.division is None and one.own.peak > two.own.peak > again.own.peak
    assert two.division.held == two.division.base == one.own.parts["weights"]
    assert plan(run, memory_gb=1.2, processes=2, find="batch").largest.value % 2 == 0
    gpu = load_run("quickstart", model={"device": "cuda"})
    assert plan(gpu, memory_gb=24, processes=2).machine.usable == 24e9 * 0.85, "each has a GPU of its own"


def test_dividing_the_base_is_among_what_saves_memory(folder_of):
    model = {"path": folder_of(LlamaConfig(**KEYED | {"hidden_size": 512, "num_hidden_layers": 40}))}
    rollout = {"engine": "served", "servers": ["http://one:8000"], "max_new_tokens": 4}
    run = load_run("quickstart", model=model, rollout=rollout)
    assert "parallel.shard=layers" in [one.override for one in plan(run, memory_gb=24, processes=4).changes]
    assert "parallel.shard=layers" not in [one.override for one in plan(run, memory_gb=24).changes]


def test_gigabytes():
    assert [gigabytes(size) for size in (0, 1_000, 1.234e9, 1.5e12)] == ["0", "< 0.01", "1.23", "1,500.00"]


def test_words(paring):
    ended = paring("plan", "quickstart", "adapter.rank=4", "--memory", "0.6", "--find", "batch", "--prompt", "20")
    assert ended.exit_code == 0, ended.output
    for part in (
        "lora of rank 4 on 21 modules",
        "stand on 97 % of its matrix parameters",
        "prompts of 20",
        "numbers trained",
        "which is in the",
    ):
        assert part in ended.stdout
    ended = paring("plan", "quickstart", "--memory", "1.2", "--processes", "3")
    assert "6 of 16 problems a step, which takes 37.5 %" in ended.stdout and "each of 3 processes may" in ended.stdout
    ended = paring("plan", "quickstart", "--memory", "0.4", "--find", "rank")
    assert "does not fit" in ended.stdout and "no adapter.rank fits, not even 1" in ended.stdout


def test_json(paring):
    found = json.loads(paring("plan", "quickstart", "--memory", "24", "--json", "--find", "rank").stdout)
    own = found["kinds"]["lora"]
    assert found["fits"] and found["peak"] == own["peak"] == sum(own["parts"].values())
    assert found["found"] == {"key": "adapter.rank", "value": 96, "limit": 96}
    assert found["machine"] == {"name": "CPU", "memory": 24 * 10**9, "usable": 204 * 10**8}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quickstart", "--kind", "dora"], "--kind dora: unknown; choices: full, lora"),
        (["quickstart", "--find", "size"], "--find size: unknown; choices: batch, rank"),
        (["quickstart", "--kind", "full", "--find", "rank"], "full training has no rank"),
        (["quickstart", "rollout.max_new_tokens=128"], "exceed the model's context of 128"),
        (["quickstart", "--prompt", "120"], "exceed the model's context of 128"),
        (["quickstart", "model.path=./nowhere"], "there is no such folder or file"),
        (["quickstart", "model.path=some/model"], "the hub did not give it"),
        (["quickstart", "model.device=cuda"], "say how much memory it has: --memory 24"),
        (["quickstart", "--processes", "17"], "17 processes for rollout.problems = 16"),
        (["quickstart", "--processes", "0"], "--processes"),
        (["quickstart", "parallel.shard=layers", "--processes", "2"], 'with rollout.engine = "local"'),
        (["sft-gsm8k-lora", "model.path=embedded", "parallel.shard=layers"], "such as --processes 4"),
        (["no-such-recipe"], "no such recipe"),
    ],
)
def test_faults_in_words(paring, arguments, words):
    ended = paring("plan", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "") and words in ended.stderr
