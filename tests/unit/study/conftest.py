"""Studies of small runs, done in this process: a child process each would take seconds to start."""

import json
from pathlib import Path

import pytest

from paring.settings.complaints import RunFailed
from paring.study import child
from paring.study.course import Course
from paring.study.declaration import Study
from paring.study.study_folder import StudyFolder
from paring.training.config import validate
from paring.training.method import train


class HereAndNow:
    """Jobs that are done when they are started. `stopping_after`: how many runs until it is asked to stop."""

    slots = 1
    threads = 1
    processes = 1

    def __init__(self):
        self.done: list[str] = []
        self._codes: dict[Path, int] = {}

    def start(self, recipe, folder):
        self.done.append(str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            run = validate(json.loads(recipe), source=folder.name)
            code = train(run, folder, resume=(folder / "run.toml").is_file()).exit_code
        except RunFailed as error:
            code = child.FAILED
            child.log_of(folder).write_text(f"error: {error}\n")
        except ValueError as error:
            code = child.BROKEN
            child.log_of(folder).write_text(f"error: {error}\n")
        self._codes[folder] = code

    def ended(self):
        codes, self._codes = self._codes, {}
        return codes

    def stop(self):
        pass


@pytest.fixture
def here():
    return HereAndNow


@pytest.fixture
def small_course(small_overrides, tmp_path):
    """A course of small runs of the quickstart, in a folder of its own."""
    from paring.settings.recipes import parse_override

    common = dict(map(parse_override, small_overrides)) | {"steps": 2, "evaluate.validation_limit": 3}

    def make(folder="study", **changes):
        given = {"name": "small", "question": "?", "recipe": "quickstart", "seeds": (0,), "arms": {"rgra": {}}}
        given |= changes | {"common": common | changes.get("common", {})}
        return Course(Study(**given), StudyFolder(tmp_path / folder))

    return make
