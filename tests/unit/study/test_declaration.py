"""What a study file may say, what is refused in words, and that a study survives being written and read."""

import pytest

from paring.settings.complaints import RecipeError
from paring.study.declaration import Tune, load_study, resolved, to_toml

WHOLE = """
question = "Which?"
recipe = "quickstart"
seeds = [0, 1]
[common]
steps = 4
rollout.problems = 3
[arms.rgra]
objective.kind = "rgra"
[arms.grpo]
objective = { kind = "grpo", clip_high = 0.3 }
[axes]
rollout.updates = [1, 4]
[tune]
values = [1e-3, 3e-3]
"""


@pytest.fixture
def written(tmp_path):
    """Writes a study file."""

    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return write


def test_sections_may_be_nested_or_dotted(written):
    study = load_study(written(WHOLE), {"rollout": {"group_size": 4}})
    assert (study.name, study.question, study.seeds) == ("mine", "Which?", (0, 1))
    assert study.common == {"steps": 4, "rollout.problems": 3}
    assert study.arms == {
        "rgra": {"objective.kind": "rgra"},
        "grpo": {"objective.kind": "grpo", "objective.clip_high": 0.3},
    }
    assert study.axes == {"rollout.updates": (1, 4)}
    assert study.tune == Tune(key="optimiser.lr", values=(1e-3, 3e-3), seeds=(1000,))
    assert study.overrides == {"rollout.group_size": 4}


def test_a_resolved_study_holds_its_recipes_and_gives_the_same_study(written, tmp_path):
    study = load_study(written(WHOLE), {"save.every": 2})
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "study.toml").write_text(to_toml(study))
    again = load_study(folder)
    assert again.recipes["quickstart"]["rollout"]["group_size"] == 8
    assert resolved(again) == resolved(study)
    assert (again.name, again.arms, again.overrides, again.tune) == (
        study.name,
        study.arms,
        study.overrides,
        study.tune,
    )


def test_a_recipe_of_the_study_s_own_goes_before_a_shipped_one(written):
    study = load_study(written(WHOLE + "[recipes.quickstart]\nsteps = 7\n"))
    assert resolved(study)["recipes"] == {"quickstart": {"steps": 7}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seeds = [0, 1]", "", "seeds: required, but not given"),
        ("seeds = [0, 1]", "seeds = []", r"seeds = \[\]: must have at least 1 item"),
        ("seeds = [0, 1]", "seeds = [0, 0]", r"seeds = \[0, 0\]: one of them stands twice"),
        ("seeds = [0, 1]", "seeds = [-1]", r"seeds\[0\] = -1: must be at least 0"),
        ("[arms.rgra]", '[arms."../x"]', r"arms\.\.\./x: a name is of letters"),
        ('recipe = "quickstart"', "", "recipe: give one"),
        ("[axes]", '[axes]\nrecipe = ["quickstart"]', "recipe: give one"),
        ("[axes]", "[axes]\nseed = [1]\nrollout.problems = [1, 1]", r"axes.rollout.problems = \[1, 1\]: one of them"),
        ("[axes]", "[axes]\nrollout.problems = [3, 4]", r"common.rollout.problems: set by \[axes\] too; remove one"),
        ("steps = 4", "steps = 4\nseed = 3", "common.seed: give it in seeds"),
        ("steps = 4", "steps = 4\noptimiser.lr = 0.1", r"common.optimiser.lr: set by \[tune\] too; remove one"),
        ("[axes]", "[axes]\noptimiser.lr = [0.1]", "tune.key = 'optimiser.lr': it is one of the axes already"),
        ("values = [1e-3, 3e-3]", "values = [1, 1.0]", "tune.values = "),
        ("[common]", 'baseline = "raft"\n[common]', "baseline: 'raft' is no arm of this study; arms: rgra, grpo"),
        ("values = [1e-3, 3e-3]", "valuse = [1]", "tune.valuse: unknown; did you mean tune.values"),
        ("seeds = [0, 1]\n", "seeds = [0, 1000]\n", r"tune.seeds = \[1000\]: \[1000\] are final seeds too"),
        (
            "[axes]",
            '[contrasts]\nclip = { more = ["grpo"], less = ["raft"] }\n[axes]',
            "contrasts.clip.less: 'raft' is no arm of this study; arms: rgra, grpo",
        ),
        (
            "[axes]",
            '[contrasts]\nclip = { more = ["grpo"], less = ["grpo"] }\n[axes]',
            "contrasts.clip: grpo stands on both sides",
        ),
        (
            "[axes]",
            '[contrasts]\nclip = { more = ["grpo"], less = ["rgra"], interaction = true }\n[axes]',
            "contrasts.clip: an interaction has two arms on each side",
        ),
        (
            "[axes]",
            '[contrasts]\nclip = { more = ["grpo"], less = ["rgra"], at.rollout.updates = 2 }\n[axes]',
            "contrasts.clip.at: rollout.updates = 2 is no value of an axis",
        ),
        ("[tune]", "[tunes]", "tunes: unknown; did you mean tune"),
        ('question = "Which?"', "question = 3 =", "not readable as TOML"),
    ],
)
def test_faults_are_told_in_words(written, old, new, expected):
    with pytest.raises(RecipeError, match=expected):
        load_study(written(WHOLE.replace(old, new)))


def test_seed_is_no_axis(written):
    with pytest.raises(RecipeError, match="axes.seed: give it in seeds"):
        load_study(written(WHOLE.replace("[axes]", "[axes]\nseed = [1, 2]")))


def test_a_study_that_is_not_there_comes_with_those_that_are(tmp_path):
    for name in ("nothing.toml", "."):
        with pytest.raises(RecipeError, match="no such study, .*; studies: clipping, .*first-look"):
            load_study(tmp_path / name)


def test_a_name_that_is_nearly_one_is_answered_with_it():
    with pytest.raises(RecipeError, match=r"did you mean first-look\?"):
        load_study("first-lok")


def test_a_study_of_one_s_own_goes_before_no_shipped_one(tmp_path, monkeypatch):
    """As a recipe: the name is that of the package's, a path that of a file or of a started study."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first-look").mkdir()
    (tmp_path / "first-look" / "study.toml").write_text(WHOLE)
    assert load_study("first-look").recipe == "chains"
    assert load_study("./first-look").recipe == load_study(tmp_path / "first-look").recipe == "quickstart"
