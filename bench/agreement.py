"""Our verdicts beside math-verify's own, as it recommends to be used, on answers sampled from a model.

    paring eval MODEL --task gsm8k:500,math500 --samples 2 --temperature 0.8 --out answers
    python bench/agreement.py answers --out disagreements.jsonl

Every disagreement is printed, and written to --out as a line; the last line says the counts. Needs the `math` extra.
math-verify's verdicts are taken in this process's main thread, where its time limits hold; give it time, and no texts
that stop it.
"""

import json
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from paring.runtime.text import visible
from paring.verifier import Gold, Verifier

EXTRACTION = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
LONGEST_SHOWN = 100


def theirs(gold: str, text: str) -> bool:
    """As its README recommends: the gold as LaTeX, the text with LaTeX before plain expressions and boxes first."""
    return verify(parse(rf"\boxed{{{gold}}}", extraction_config=EXTRACTION), parse(text, extraction_config=EXTRACTION))


def sampled(folder: Path) -> list[dict[str, str]]:
    """Benchmark, gold and text of every answer of an evaluation."""
    files = [path for path in sorted((folder / "items").glob("*.jsonl")) if not path.stem.endswith(".seconds")]
    items = [(path.stem, json.loads(line)) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {"benchmark": name, "gold": item["gold"], "text": answer["text"]}
        for name, item in items
        for answer in item["answers"]
    ]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("answers", type=Path, help="what `paring eval --out` wrote")
    parser.add_argument("--out", type=Path, help="write the disagreements here, a line each")
    arguments = parser.parse_args()
    rows = sampled(arguments.answers)
    with Verifier() as verifier:
        ours = verifier.judge([(Gold.read(row["gold"]), row["text"]) for row in rows])
    counts: Counter[str] = Counter()
    lines = []
    for row, verdict in zip(rows, ours, strict=True):
        other = theirs(row["gold"], row["text"])
        counts[f"ours {verdict.why}, theirs {'right' if other else 'wrong'}"] += 1
        if other == verdict.correct:
            continue
        lines.append(json.dumps(row | {"ours": verdict.why, "answer": verdict.answer, "theirs": other}))
        answer = row["text"][-LONGEST_SHOWN:] if verdict.answer is None else verdict.answer
        print(visible(f"{row['benchmark']}: ours {verdict.why}, theirs {other}: {answer!r} for {row['gold']!r}"))
    if arguments.out:
        arguments.out.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(json.dumps({"answers": len(rows), "disagreements": len(lines), **counts}))


if __name__ == "__main__":
    main()
