"""bench/scale_arithmetic.py: its numbers computed by hand, from the sizes of Llama 3.1 8B."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
HIDDEN, INTERMEDIATE, LAYERS, KEYS, VOCABULARY = 4096, 14_336, 32, 1024, 128_256


@pytest.fixture(scope="module")
def arithmetic():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield importlib.import_module("scale_arithmetic")


@pytest.fixture(scope="module")
def layout(arithmetic):
    """Three GPUs that serve and five that train."""
    step = arithmetic.Step(problems=8, group=4, prompt=100, answer=1000, rank=16)
    return arithmetic.Layout(arithmetic.base("8B", step), step, 8, 3, 5, sharded=False)


def test_sizes_are_those_of_the_model(layout):
    layer = HIDDEN * (2 * HIDDEN + 2 * KEYS) + 3 * HIDDEN * INTERMEDIATE
    assert layout.base.shapes.linear_weights == LAYERS * layer
    of_a_rank = 2 * (2 * HIDDEN) + 2 * (HIDDEN + KEYS) + 3 * (HIDDEN + INTERMEDIATE)
    assert layout.base.trained == 16 * LAYERS * of_a_rank == 41_943_040
    assert layout.base.adapter == 4 * 41_943_040
    assert layout.base.key_values == 2 * 2 * LAYERS * KEYS


def test_seconds_of_a_step(arithmetic, layout):
    by_rate, longest = layout.seconds_sampling()
    assert by_rate == pytest.approx(8 * 4 * 1000 / (3 * 13_899 / 2))
    assert longest == pytest.approx(1000 * layout.base.weights / 3.35e12)
    published = 4 * 41_943_040 * (1 + 3) / 1e9 + 2 * 8 * layout.base.weights / 3.35e12
    assert layout.seconds_publishing() == pytest.approx(published)
    multiplied = layout.base.shapes.linear_weights + VOCABULARY * HIDDEN
    token = 4 * multiplied + 6 * 41_943_040 + 3 * 4 * LAYERS * HIDDEN * 600
    token *= 1 + layout.base.computed_again / 3
    rate = arithmetic.share_of_the_peak() * 989e12 * 5
    assert layout.seconds_training() == pytest.approx((8 * 4 * 1000 + 8 * 100) * token / rate)
    assert layout.step_seconds == max(layout.seconds()["sampling"], layout.seconds_training() + published)


def test_sharded_layers_are_held_in_parts_and_fetched(layout):
    sharded, layers = replace(layout, sharded=True), 2 * layout.base.shapes.linear_weights
    saved = layout.trainer_parts()["weights"] - sharded.trainer_parts()["weights"]
    assert saved == pytest.approx(layers * (1 - 1 / 5 - 2 / LAYERS))
    fetched = sharded.seconds_training() - layout.seconds_training()
    assert fetched == pytest.approx(2 * (2 * layers * (1 - 1 / 5)) / 450e9)  # two passes


def test_the_phase_that_costs_most_is_the_one_without_which_a_step_is_shortest(arithmetic, layout):
    best = arithmetic.best("8B", 8, layout.step)
    phase, seconds = best.costs_most()
    assert seconds < best.step_seconds and phase in best.seconds()
    assert seconds == min(arithmetic.best("8B", 8, layout.step, free=one).step_seconds for one in best.seconds())


def test_the_page_has_the_tables_that_the_script_prints(arithmetic):
    page = (BENCH.parent / "docs" / "scale.md").read_text(encoding="utf-8")
    for title, table in arithmetic.tables(arithmetic.Step()):
        assert "\n".join(table.as_markdown()) in page, title
