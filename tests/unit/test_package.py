"""The package as it is installed: its public names, its version, and what wheel and source distribution hold."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path

import pytest

import paring

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "paring"
INFORMATION = f"paring-{paring.__version__}.dist-info"
PUBLIC = {
    *("load_run", "train", "evaluate", "compare", "export", "report"),
    *("Task", "Problem", "Reply", "Score", "Objective", "Verifier", "__version__"),
}

# Not imported: it refuses to be where the standard library's distutils was imported before, as torch does.
NEW_ENOUGH = importlib.util.find_spec("setuptools") is not None and int(version("setuptools").split(".")[0]) >= 77


def in_a_new_process(script: str) -> str:
    """The output of a script in a Python that has imported nothing."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def test_import_paring_shows_its_public_names_and_imports_nothing_heavy():
    script = "import sys, paring; print(*dir(paring)); print({'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    names, heavy = in_a_new_process(script).splitlines()
    assert set(names.split()) == set(paring.__all__) == PUBLIC
    assert heavy == "set()"


def test_import_paring_changes_no_environment():
    script = "import os; before = dict(os.environ); import paring; print(before == dict(os.environ))"
    assert in_a_new_process(script) == "True\n"


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_a_public_name_has_a_home_that_explains_it(name):
    assert getattr(paring, name).__doc__
    assert vars(paring)[name] is getattr(sys.modules[paring._HOMES[name]], name)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_no_room_takes_the_place_of_a_public_name(name):
    """A module `paring.report` would become the attribute `report` of the package, as soon as it is imported."""
    assert importlib.util.find_spec(f"paring.{name}") is None


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match="paring has no 'trian'; it has Objective, Problem, .*train"):
        paring.trian  # noqa: B018


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> dict[str, Path]:
    """A wheel and a source distribution, built from a copy so that no build folder is left behind."""
    if not NEW_ENOUGH:
        pytest.skip("a build needs setuptools 77 or newer")
    copy = tmp_path_factory.mktemp("build") / "paring"
    shutil.copytree(ROOT, copy, ignore=left_out)
    script = "from setuptools.build_meta import build_sdist, build_wheel; build_wheel('dist'); build_sdist('dist')"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=copy, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (wheel,), (sdist,) = (copy / "dist").glob("*.whl"), (copy / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def left_out(folder: str, names: list[str]) -> set[str]:
    """Names in a checkout that are not the project's own."""
    hidden = {name for name in names if name.startswith(".") and name != ".ci"}
    ours = {"bench", "docs", "examples", "src", "tests", "tools", ".ci"}
    others = {name for name in names if Path(folder) == ROOT and (Path(folder) / name).is_dir()} - ours
    return hidden | others | {name for name in names if name == "__pycache__" or name.endswith(".egg-info")}


def test_without_a_compiler_a_build_goes_on(tmp_path):
    """It leaves the fused operations out, which are then torch's."""
    shutil.copytree(ROOT, tmp_path / "paring", ignore=left_out)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["CC"] = str(tmp_path / "no-compiler")
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", "out"]
    ended = subprocess.run(command, cwd=tmp_path / "paring", env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "_compiled" in ended.stderr and not list((tmp_path / "paring/out").rglob("*.so"))


@pytest.fixture(scope="module")
def in_wheel(distributions) -> set[str]:
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_every_file_of_the_package(in_wheel):
    there = {path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(SOURCE.parent).as_posix() for path in there} <= in_wheel


def test_the_wheel_holds_licences_cards_recipes_and_templates_and_no_test(in_wheel):
    model = ("model.safetensors", "tokenizer.json", "README.md", "LICENSE", "build.json")
    wanted = {f"paring/{folder}/{file}" for folder in ("embedded", "embedded-chains") for file in model}
    wanted |= {"paring/py.typed", "paring/recipes/quickstart.toml", f"{INFORMATION}/licenses/LICENSE"}
    assert wanted <= in_wheel
    assert any(name.endswith("templates/page.html") for name in in_wheel)
    assert {name.split("/")[0] for name in in_wheel} == {"paring", INFORMATION}


@pytest.mark.xfail(not (SOURCE / "studies").is_dir(), reason="the studies move into the package")
def test_the_wheel_holds_the_studies(in_wheel):
    assert "paring/studies/first-look.toml" in in_wheel


def test_what_the_wheel_says_of_itself(distributions):
    with zipfile.ZipFile(distributions["wheel"]) as wheel:
        metadata = HeaderParser().parsestr(wheel.read(f"{INFORMATION}/METADATA").decode())
        entry_points = wheel.read(f"{INFORMATION}/entry_points.txt").decode()
    assert metadata["Version"] == paring.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "The paring developers"
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert metadata.get_all("Project-URL")
    assert "paring = paring.cli:main" in entry_points


def test_the_source_distribution_holds_what_a_packager_needs(distributions):
    with tarfile.open(distributions["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"tests/conftest.py", "tests/unit/test_package.py", "tests/unit/verifier/held_out.jsonl"} <= names
    assert {"examples/rl_loop.py", "examples/rows.jsonl", "docs/findings.md", "bench/README.md"} <= names
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile", "constraints.txt", ".ci/run"} <= names
    assert "src/paring/recipes/quickstart.toml" in names
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "paring.__version__"}
    assert f"\n## [{paring.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    assert f"\nversion: {paring.__version__}\n" in (ROOT / "CITATION.cff").read_text()
