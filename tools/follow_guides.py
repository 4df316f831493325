"""Follow the guides in a clean environment: each command of each block, as a reader gives it. `make follow-guides`

python tools/follow_guides.py FOLDER [PAGE ...] [--whole]

The last commit is cloned into FOLDER, which README's first command makes an environment in. Then the commands of the
pages are run there, from top to bottom; each page begins with what its reader has: the clone, and where it names runs
or files that it does not make, these. Trainings are short ones, and `make test` runs a part, unless it is --whole. A
FOLDER of an earlier call is used again, without README's first block."""

import argparse
import os
import re
import shutil
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
SHORT = "steps=12 evaluate.limit=8"
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
    "my.py": "from examples.own_reward import right as reward  # noqa: F401\n",
    "mine.jsonl": '{"gold": "7", "candidate": "\\\\boxed{7}", "expected": true}\n',
    "my.toml": "from the recipe `quickstart`",
}
"""The reader's own files that pages name; runs of theirs are runs/mine and runs/other."""


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
    """The same with a small size, where it trains or measures."""
    if command.startswith("python"):
        steps = r"\1steps=3" if "steps=" in command else r'\1steps=3, evaluate={"limit": 8}, '
        return re.sub(r'(load_run\("[\w-]+", (?:.*?(?=steps=))?)(steps=\d+)?', steps, command)
    if "--dry-run" in command or "--resume" in command:
        return command
    if command.startswith(("paring eval ", "paring filter ")):
        return f"{command} --limit 8"
    return f"{command} {SHORT}" if command.startswith(("paring train ", "paring study ")) else command


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
    if code == 0 or (code == 1 and command.startswith("paring reward-check ") and not errors):
        return "done"  # reward-check ends with 1 where it names what a reward gets wrong
    last = " ".join(errors.split())[-600:]
    expected = [words for pattern, words in ANSWERED.items() if re.search(pattern, command)]
    single = code == 2 and errors.count("error: ") == 1 and "Traceback" not in errors
    if single and any(re.search(words, errors) for words in expected):
        return f"answered: {last}"
    return f"failed with {code}: {last}"


def prepare(page: str, clone: Path) -> None:
    """The clone as it was, with the reader's own files and runs, but for what the page makes itself."""
    subprocess.run(["git", "clean", "-fdxq", "-e", ".venv"], cwd=clone, check=True)
    paring, text = clone / ".venv/bin/paring", (ROOT / page).read_text(encoding="utf-8")
    for name, content in OWN.items():
        recipe = subprocess.run([paring, "recipes", "quickstart"], capture_output=True, text=True, check=True).stdout
        (clone / name).write_text(recipe if name.endswith(".toml") else content, encoding="utf-8")
    for number, name in enumerate(("runs/mine", "runs/other")):
        kept = clone.parent / name
        if not kept.is_dir():
            small = [paring, "train", "quickstart", *SHORT.split(), f"seed={number}", "--out", kept]
            subprocess.run(small, capture_output=True, check=True)
        if name in text and f"--out {name}" not in text and f'out="{name}"' not in text:
            shutil.copytree(kept, clone / name)


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder for the clone")
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--whole", action="store_true", help="trainings and tests at full length")
    options = parser.parse_args()
    clone = options.folder.resolve() / "paring"
    clone.parent.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    is_made = clone.is_dir()
    for number, page in enumerate(options.pages):
        if number or is_made:
            prepare(page, clone)
        for command in commands_of(ROOT / page):
            if (number or is_made) and command.startswith(("git clone", "make ", "pip ")):
                continue  # given already, from README
            outcome = follow(page, command, clone, whole=options.whole)
            outcomes.append(outcome)
            print(f"{outcome.seconds:6.1f} s  {page}  {command.splitlines()[0]}\n          {outcome.ended}", flush=True)
    bad = [outcome for outcome in outcomes if not outcome.is_good]
    done = sum(outcome.ended == "done" for outcome in outcomes)
    answered = sum(outcome.ended.startswith("answered") for outcome in outcomes)
    print(f"{len(outcomes)} commands: {done} done, {answered} answered with what they lack, {len(bad)} failed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
