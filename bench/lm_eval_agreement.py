"""GSM8K as lm-evaluation-harness logged it, judged again: are prompts and both verdicts the same, item by item?

    lm_eval run --model hf --model_args pretrained=MODEL --tasks gsm8k --num_fewshot 5 --limit 200 --log_samples \\
        --output_path OUT
    python bench/lm_eval_agreement.py OUT/.../samples_gsm8k_*.jsonl --data DIR/gsm8k --shots 5
"""

import argparse
import json
from pathlib import Path

from paring.evaluation.benchmarks.lm_eval import LmEvalGsm8k


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, help="the harness's log of the items")
    parser.add_argument("--data", required=True, help="a folder with train.jsonl and test.jsonl")
    parser.add_argument("--shots", type=int, default=5)
    arguments = parser.parse_args()
    task = LmEvalGsm8k(arguments.data, shots=arguments.shots)
    problems = task.problems("test")
    ways = ("strict-match", "flexible-extract")
    same, right = dict.fromkeys(("prompt", *ways), 0), dict.fromkeys(ways, 0)
    rows = [json.loads(line) for line in arguments.log.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        problem, way = problems[int(row["doc_id"])], row["filter"]
        score = task.score(problem, row["resps"][0][0])
        ours = score.correct if way == "strict-match" else score.traits["flexible_match"]
        same[way] += ours == bool(float(row["exact_match"]))
        right[way] += ours
        if way == "strict-match":
            same["prompt"] += problem.messages[0]["content"] == row["arguments"]["gen_args_0"]["arg_0"]
    print(f"{len(rows) // 2} items; the same: {same}; right: {right}")


if __name__ == "__main__":
    main()
