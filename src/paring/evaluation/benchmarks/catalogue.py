"""All benchmarks, by name."""

from paring.evaluation.benchmarks.amc23 import AMC23
from paring.evaluation.benchmarks.benchmark import AnyBenchmark
from paring.evaluation.benchmarks.cmath import CMATH
from paring.evaluation.benchmarks.cn_middle_school import CN_MIDDLE_SCHOOL
from paring.evaluation.benchmarks.contests import AIME24, AIME25, AIME26, AMC, HMMT25, HMMT26, MINERVA
from paring.evaluation.benchmarks.gaokao2023_en import GAOKAO2023_EN
from paring.evaluation.benchmarks.gaokao2024 import GAOKAO2024, GAOKAO2024_I, GAOKAO2024_II, GAOKAO2024_MIX
from paring.evaluation.benchmarks.gpqa import GPQA_DIAMOND
from paring.evaluation.benchmarks.gsm8k import GSM8K
from paring.evaluation.benchmarks.math import MATH, MATH500
from paring.evaluation.benchmarks.mmlu_stem import MMLU_STEM
from paring.evaluation.benchmarks.olympiadbench import OLYMPIADBENCH

_SINGLE = (GSM8K, MATH, MATH500, OLYMPIADBENCH, AMC23, GAOKAO2023_EN, CMATH, CN_MIDDLE_SCHOOL, MMLU_STEM)
_RECENT = (AIME24, AIME25, AIME26, HMMT25, HMMT26, AMC, MINERVA, GPQA_DIAMOND)
BENCHMARKS: tuple[AnyBenchmark, ...] = (*_SINGLE, *_RECENT, GAOKAO2024_I, GAOKAO2024_II, GAOKAO2024_MIX, GAOKAO2024)


def benchmark_named(name: str) -> AnyBenchmark | None:
    """The benchmark of this name, or None. Case, hyphens and underscores do not count: `MATH-500` is `math500`, and
    `gaokao2024-i` is `gaokao2024_I`."""
    plain = {one.name.lower().replace("_", ""): one for one in BENCHMARKS}
    return plain.get(name.lower().replace("-", "").replace("_", ""))
