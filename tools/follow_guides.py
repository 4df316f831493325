"""Follow the guides in a clean environment: each command of each block, as a reader gives it. `make follow-guides`

python tools/follow_guides.py FOLDER [PAGE ...] [--whole]

The last commit is cloned into FOLDER, which README's first command makes an environment in. Then the commands of the
pages are run there, from top to bottom. Trainings are short ones, and `make test` runs a part, unless it is --whole."""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/start.md", "docs/guides.md", "docs/python.md", "docs/after.md", "docs/tracking.md")
BLOCK = re.compile(r"^```([a-z]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(paring|git|make|pip|python|docker|hf) ")
SHORT = "steps=3 evaluate.limit=8"
LONGEST = 1800
"""Seconds of a command."""
PLACES = {"REPOSITORY": str(ROOT), "MODEL": "embedded", "ORG/NAME": "an-org/a-name"}
"""What a page leaves to its reader."""
ANSWERED = {
    r"--task gsm8k": r"gsm8k.*(data|hub|network)",
    r"train gsm8k-rgra": r"gsm8k|Qwen|hub|network|datasets",
    r"plan gsm8k-rgra": r"config|hub|network",
    r"push .*(?<!--dry-run) --licence": r"log in|token|no access|rights|reach",
    r"track='\[": r"pip install",
    r"model.path=MODEL": r"pip install",
}
"""Commands that need what a clean machine without a network lacks, and what their one error has to say."""
ELSEWHERE = {
    r"^docker ": "needs docker",
    r"llama\.cpp": "needs llama.cpp's clone",
    r"^hf ": "needs an account",
}
OWN = {
    "my.py": "def reward(completions, **fields):\n    return [float('7' in text) for text in completions]\n",
    "mine.jsonl": '{"answer": "\\\\boxed{7}", "gold": "7", "right": true}\n',
}
"""The reader's own files that pages name."""


@dataclass(frozen=True)
class Outcome:
    """A command of a page, how it ended, and the seconds it took."""

    page: str
    command: str
    ended: str
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.ended.startswith(("done", "answered", "not here"))


def commands_of(page: Path) -> Iterator[str]:
    """Each command, and each Python block that stands alone, in the order of the page."""
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            if block.lstrip().startswith("import paring"):
                yield f"python - <<'END'\n{block}END"
        else:
            lines = block.replace("\\\n", " ").splitlines()
            yield from (re.sub(r"\s+#\s.*", "", line).rstrip() for line in lines if COMMAND.match(line))


def shortened(command: str) -> str:
    """The same with a small size, where it trains."""
    trains = re.match(r"paring (train|study) (?!--resume)", command) and "--dry-run" not in command
    return f"{command} {SHORT}" if trains else command


def follow(page: str, command: str, clone: Path, *, whole: bool) -> Outcome:
    """Give the command in the clone, and judge how it ended."""
    for pattern, why in ELSEWHERE.items():
        if re.search(pattern, command):
            return Outcome(page, command, f"not here: {why}")
    given = command if whole else shortened(command)
    for place, value in PLACES.items():
        given = given.replace(place, value)
    environment = os.environ | {"PATH": f"{clone / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    environment |= {} if whole else {"PYTEST_ADDOPTS": "tests/unit/maths/objectives"}
    begun = time.perf_counter()
    try:
        ended = subprocess.run(
            ["bash", "-c", given],
            cwd=clone.parent if command.startswith("git clone") else clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return Outcome(page, command, f"failed: longer than {LONGEST} s", LONGEST)
    words = _judged(command, ended.returncode, ended.stderr)
    return Outcome(page, command, words, time.perf_counter() - begun)


def _judged(command: str, code: int, errors: str) -> str:
    if code == 0:
        return "done"
    last = " ".join(errors.split())[-600:]
    expected = [words for pattern, words in ANSWERED.items() if re.search(pattern, command)]
    single = code == 2 and errors.count("error: ") == 1 and "Traceback" not in errors
    if single and any(re.search(words, errors) for words in expected):
        return f"answered: {last}"
    return f"failed with {code}: {last}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a new folder for the clone")
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--whole", action="store_true", help="trainings and tests at full length")
    options = parser.parse_args()
    clone = options.folder.resolve() / "paring"
    clone.parent.mkdir(parents=True)
    outcomes = []
    for page in options.pages:
        for command in commands_of(ROOT / page):
            if page != "README.md" and command.startswith(("git clone", "make ", "pip ")):
                continue  # README's, which have been given
            outcome = follow(page, command, clone, whole=options.whole)
            outcomes.append(outcome)
            print(f"{outcome.seconds:6.1f} s  {page}  {command.splitlines()[0]}\n          {outcome.ended}", flush=True)
            if command.startswith("git clone") and clone.is_dir():
                for name, text in OWN.items():
                    (clone / name).write_text(text, encoding="utf-8")
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    done = sum(outcome.ended == "done" for outcome in outcomes)
    answered = sum(outcome.ended.startswith("answered") for outcome in outcomes)
    print(f"{len(outcomes)} commands: {done} done, {answered} answered with what they lack, {len(bad)} failed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
