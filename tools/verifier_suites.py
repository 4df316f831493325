"""Agreement of the verifier with the test suites of other graders, read from copies of their repositories.

    git clone https://github.com/huggingface/Math-Verify SUITES/Math-Verify      # and others, see SUITES below
    python tools/verifier_suites.py SUITES [--show]

A case is a gold, a candidate, and whether the suite calls it right. Cases are read from the syntax of the tests; no
code of theirs is run and none is copied here. A candidate without a box gets one around it. What is prose around a
formula, or holds a backslash that was quoted twice, is left out and counted.
"""

import argparse
import ast
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.tables import Table
from paring.verifier import Gold, Verifier
from paring.verifier.extraction import boxes_in_a_row

FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
BOXED = re.compile(r"\\(?:boxed|fbox)\b|<answer>", re.IGNORECASE)
TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox|mathbf|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+")
DOUBLED = re.compile(r"(?<!\\)\\\\(?:d?frac|sqrt|left|right|boxed|text|le|pi)(?![A-Za-z])|\\$")
PROSE = re.compile(r"[：。，؟،]|\d\. |(?:[A-Za-z]{2,}[.,:;!]?\s+){2}[A-Za-z]{2,}|\bis\b|[Aa]nswer|:\s*$|\n")


@dataclass(frozen=True)
class Case:
    """A gold and a candidate of a suite, and whether it calls them equal."""

    gold: str
    candidate: str
    expected: bool


Names = dict[str, object]


def value_of(node: ast.expr | None, names: Names) -> object:
    """The value of a literal, of a name that was given one, and of dicts, lists and tuples of those; else None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Tuple | ast.List):
        return [value_of(part, names) for part in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {value_of(key, names): value_of(value, names) for key, value in pairs if isinstance(key, ast.Constant)}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = value_of(node.left, names), value_of(node.right, names)
        return left / right if isinstance(left, int) and isinstance(right, int) and right else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = value_of(node.operand, names)
        return -number if isinstance(number, int | float) else None
    return None


def rows(tree: ast.AST) -> Iterator[tuple[str, list[str], list[object]]]:
    """Each row of each `parametrize`, with the test's name and the names of the columns."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in function.decorator_list:
            if not (isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith(("parametrize", "expand"))):
                continue
            columns = value_of(mark.args[0], {})
            names = [name.strip() for name in columns.split(",")] if isinstance(columns, str) else columns
            listed = value_of(mark.args[1], {}) if len(mark.args) > 1 else None
            if len(mark.args) == 1:  # expand: the columns are the function's own arguments
                names, listed = [argument.arg for argument in function.args.args[1:]], columns
            for row in listed if isinstance(listed, list) else []:
                if isinstance(names, list):
                    yield function.name, [str(name) for name in names], row if len(names) > 1 else [row]


def gold_pred(tree: ast.AST) -> Iterator[Case]:
    """Rows with the columns gold, pred, and expected or result: Math-Verify, lighteval."""
    for _, names, row in rows(tree):
        if names[:2] == ["gold", "pred"] and isinstance(row, list) and len(row) >= 3:
            wanted = row[next((names.index(name) for name in ("expected", "result") if name in names), 2)]
            if isinstance(row[0], str) and isinstance(row[1], str) and wanted in (0, 1):
                yield Case(row[0], row[1], bool(wanted))


def pairs_both_ways(tree: ast.AST) -> Iterator[Case]:
    """Rows that are pairs, whose test's name says whether they are equal: NeMo-Skills."""
    for name, _, (row, *_) in rows(tree):
        if isinstance(row, list) and len(row) == 2 and None not in row:
            for gold, candidate in (row, row[::-1]):
                yield Case(str(gold), str(candidate), "incorrect" not in name)


def answer_target(tree: ast.AST) -> Iterator[Case]:
    """Rows with the columns answer and target: inspect_ai."""
    for name, names, row in rows(tree):
        if names == ["answer", "target"] and isinstance(row, list) and all(isinstance(part, str) for part in row):
            wrong = any(word in name for word in ("not_", "mismatch", "incorrect", "exact_large"))
            yield Case(str(row[1]), str(row[0]), not wrong)


def scored_rows(tree: ast.AST) -> Iterator[Case]:
    """Rows with the columns prediction, label, expected_score; of normalisations, that are equal: open-instruct."""
    for _, names, row in rows(tree):
        if isinstance(row, list) and len(row) == len(names):
            cells = {name: cell for name, cell in zip(names, row, strict=True) if isinstance(cell, str | float)}
            if {"prediction", "label"} <= set(cells) and cells.get("expected_score") in (0.0, 1.0):
                yield Case(str(cells["label"]), str(cells["prediction"]), cells["expected_score"] == 1.0)
            elif {"input_string", "expected_output"} <= set(cells):
                yield Case(str(cells["expected_output"]), str(cells["input_string"]), True)


def completed_answers(tree: ast.AST) -> Iterator[Case]:
    """Rows that are dicts of a completion and an answer, in a test whose name says whether it is right: verifiers."""
    for name, _, (row, *_) in rows(tree):
        if isinstance(row, dict) and {"completion", "answer"} <= set(row):
            yield Case(str(row["answer"]), str(row["completion"]), "invalid" not in name)


def rewarded_lists(tree: ast.AST) -> Iterator[Case]:
    """A list of completions, a list of solutions, and statements of their rewards: TRL."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        given: Names = {}
        for statement in function.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                given[statement.targets[0].id.removesuffix("s")] = value_of(statement.value, {})
            says = re.fullmatch(r"assert rewards\[(\d)\] == ([01])\.0", ast.unparse(statement))
            completions, solutions = given.get("completion"), given.get("solution")
            if says and isinstance(completions, list) and isinstance(solutions, list):
                content = completions[int(says[1])][0]["content"]
                yield Case(str(solutions[int(says[1])]), str(content), says[2] == "1")


def statements(tree: ast.AST) -> Iterator[Case]:
    """Cases written as statements: a gold and a text under names or keywords, then an assertion."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_body(function.body, {})


def _of_body(body: list[ast.stmt], names: Names) -> Iterator[Case]:
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            target = statement.targets[0].id
            names[target] = value_of(statement.value, names)
            if isinstance(statement.value, ast.Call):
                names["(called)"] = _pair(statement.value, names)
        elif isinstance(statement, ast.For) and isinstance(statement.target, ast.Tuple):
            listed = value_of(statement.iter, names)
            for row in listed if isinstance(listed, list) else []:
                keys = [part.id for part in statement.target.elts if isinstance(part, ast.Name)]
                yield from _of_body(statement.body, names | dict(zip(keys, row, strict=False)))
        elif isinstance(statement, ast.Assert | ast.Expr):
            yield from _asserted(statement, names)
        elif isinstance(statement, ast.With):
            yield from _of_body(statement.body, names)


def _asserted(statement: ast.Assert | ast.Expr, names: Names) -> Iterator[Case]:
    test = statement.test if isinstance(statement, ast.Assert) else statement.value
    text = ast.unparse(test)
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
    found = [pair for call in calls if (pair := _pair(call, names))]
    if isinstance(statement, ast.Expr):
        if not text.startswith(("self.assertTrue", "self.assertFalse")):
            return
        expected: bool | None = "assertTrue" in text
    else:
        says = re.search(r"(?:==|is) (?:\(approx\()?(True|False|1\.0|0\.0|1|0|'correct'|'incorrect')", text)
        expected = None if says is None else says[1] in ("True", "1.0", "1", "'correct'")
        if says is None and re.match(r"not \w+\.is_correct", text):
            expected = False
    of_name = expected is not None and re.match(r"(reward|output|not output|result)", text)
    pair = found[0] if found else names.pop("(called)", None) if of_name else None
    if expected is not None and isinstance(pair, tuple):
        yield Case(str(pair[0]), str(pair[1]), expected)


def _pair(call: ast.Call, names: Names) -> tuple[str, str] | None:
    """Gold and text of a call that grades."""
    keywords = {word.arg: value_of(word.value, names) for word in call.keywords}
    task = names.get("task_info")
    name = ast.unparse(call.func).rpartition(".")[2]
    arguments = [value_of(argument, names) for argument in call.args]
    if "completions" in keywords and "answer" in keywords:
        pair: list[object] = [keywords["answer"], keywords["completions"]]
    elif name == "reward" and isinstance(task, dict):
        pair = [task.get("ground_truth"), names.get("model_response")]
    elif name in (
        "is_equiv",
        "_test_is_equiv",
        "_test_is_not_equiv",
        "are_equal_under_sympy",
        "grade_answer",
        "verify",
    ):
        pair = [*arguments[1::-1]] if name in ("grade_answer", "verify") else arguments[:2]
    elif name.startswith("_make_verify_request"):
        text = keywords.get("text", arguments[0] if arguments else None)
        pair = [keywords.get("expected"), text]
    elif name == "_verify_answer_with_library_async":
        pair = arguments[:2]
    elif name in ("score_math_response", "grade_answer_mathd", "grade_answer_sympy", "grade_answer_verl"):
        pair = arguments[1::-1]
    else:
        return None
    gold, text = pair if len(pair) == 2 else (None, None)
    return (gold, text) if isinstance(gold, str) and isinstance(text, str) else None


def inspect_cases(path: Path) -> Iterator[Case]:
    """The cases of inspect_ai's JSON file."""
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield Case(row["target"], row["output"], row["expected"] == "C")


SUITES = {
    "Math-Verify": (gold_pred, "tests/test_*.py"),
    "lighteval": (gold_pred, "tests/unit/metrics/test_extractive_match.py"),
    "NeMo-Skills": (pairs_both_ways, "tests/test_math_equal.py"),
    "inspect_ai": (answer_target, "tests/scorer/test_math.py"),
    "MARIO_EVAL": (statements, "math_evaluation/tests/test_is_equiv.py"),
    "AReaL": (statements, "tests/test_math_verify_reward.py"),
    "hendrycks-math": (statements, "modeling/math_equivalence_test.py"),
    "tinker-cookbook": (statements, "tinker_cookbook/recipes/math_rl/math_env_test.py"),
    "rllm": (statements, "tests/rewards/test_math_reward.py"),
    "slime": (statements, "tests/test_rm_math*.py"),
    "trl": (rewarded_lists, "tests/test_rewards.py"),
    "verifiers": (completed_answers, "tests/test_math_rubric.py"),
    "open-instruct": (scored_rows, "open_instruct/test_*_utils.py"),
    "NeMo-Gym": (statements, "resources_servers/*/tests/test_app.py"),
    "torchtitan": (statements, "torchtitan/experiments/rl/tests/test_dapo_math.py"),
}
"""By the folder of each: how its cases are written, and where."""


def cases_of(folder: Path, suite: str) -> list[Case]:
    """The cases of a suite, each once."""
    read, pattern = SUITES[suite]
    cases = [
        case for path in sorted(folder.glob(pattern)) for case in read(ast.parse(path.read_text(encoding="utf-8")))
    ]
    listed = folder / "tests/scorer/math_cases.json"
    return list(dict.fromkeys([*cases, *(inspect_cases(listed) if listed.is_file() else ())]))


def bare_gold(text: str) -> str | None:
    """The right answer of a gold: what its boxes hold, or the text without the marks of a formula; None for prose."""
    return ", ".join(boxes_in_a_row(text)) or plain(text)


def plain(text: str) -> str | None:
    """A formula without its marks; None where words stand around it, and for a backslash that was quoted twice."""
    whole = text.strip()
    if DOUBLED.search(whole) or len(whole) > 200:
        return None
    if BOXED.search(whole):
        return whole
    formula = FORMULA.fullmatch(whole)
    if formula:
        whole = next(part for part in formula.groups() if part is not None)
    return None if "$" in whole.replace(r"\$", "") or PROSE.search(TEXT.sub(" ", whole)) else whole.strip()


def judged(cases: list[Case], verifier: Verifier) -> tuple[int, list[str]]:
    """How many cases could be judged, and a line for each that is decided otherwise than in its suite."""
    read = []
    for case in cases:
        gold, candidate = bare_gold(case.gold), plain(case.candidate)
        with suppress(ValueError):  # a gold that cannot be read
            if gold and candidate:
                thought, end, value = candidate.rpartition("</think>")
                text = candidate if BOXED.search(candidate) else rf"{thought}{end}\boxed{{{value}}}"
                read.append((Gold.read(gold), text, case.expected))
    verdicts = verifier.judge([(gold, text) for gold, text, _ in read])
    return len(read), [
        f"gold {gold.text!r} ({gold.kind}), {text!r}: {verdict.why}, {'right' if expected else 'wrong'} there"
        for (gold, text, expected), verdict in zip(read, verdicts, strict=True)
        if verdict.correct != expected
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder with copies of the repositories, by their names")
    parser.add_argument("--show", action="store_true", help="every case that is decided otherwise")
    arguments = parser.parse_args()
    table, seen = [], set[Case]()
    with Verifier() as verifier:
        for suite in SUITES:
            cases = [case for case in cases_of(arguments.folder / suite, suite) if case not in seen]
            seen.update(cases)
            number, otherwise = judged(cases, verifier)
            counts = (number, number - len(otherwise), len(otherwise), len(cases) - number)
            table.append([suite, *map(str, counts)])
            for line in otherwise if arguments.show else ():
                print(f"{suite}: {line}")
    print("\n".join(Table(["suite", "cases", "agree", "otherwise", "left out"], table).as_text()))


if __name__ == "__main__":
    main()
