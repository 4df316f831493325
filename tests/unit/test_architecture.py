"""The plan of the house, checked: who imports whom, no circles, and what is never used."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import paring

SOURCE = Path(paring.__file__).parent
FILES = {
    ".".join(("paring", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}

GROUND = {"paring.types", "paring.settings", "paring.maths", "paring.adapters", "paring.runtime", "paring.verifier"}
ALGORITHM = GROUND | {"paring.tasks", "paring.policy", "paring.rollout"}
# Room -> the rooms and files, beside itself, that it may import.
MAY_IMPORT = {
    "paring.types": set(),
    "paring.settings": set(),
    "paring.maths": {"paring.settings"},
    "paring.adapters": {"paring.settings", "paring.maths"},
    "paring.runtime": {"paring.settings", "paring.types"},
    "paring.verifier": {"paring.types", "paring.settings", "paring.runtime"},
    "paring.tasks": {"paring.types", "paring.settings", "paring.runtime", "paring.verifier"},
    "paring.policy": {"paring.types", "paring.settings", "paring.maths", "paring.adapters", "paring.runtime"},
    "paring.rollout": {"paring.types", "paring.settings", "paring.maths", "paring.adapters", "paring.runtime"}
    | {"paring.policy"},
    "paring.integrations": {"paring.settings", "paring.adapters", "paring.maths"},
    # What is read from run folders needs no torch: a report is made where a folder was copied to.
    "paring.ranks": {"paring.types", "paring.runtime"},
    "paring.reporting": {"paring.types", "paring.settings", "paring.runtime", "paring.maths", "paring.ranks"},
    "paring.evaluation": ALGORITHM,
    "paring.tracking": {"paring.types", "paring.settings", "paring.runtime"},
    "paring.training": ALGORITHM | {"paring.evaluation", "paring.tracking"},
    "paring.planning": ALGORITHM | {"paring.training"},
    "paring.clusters": ALGORITHM | {"paring.training"},
    "paring.subjects": ALGORITHM | {"paring.evaluation", "paring.training"},
    "paring.study": GROUND | {"paring.training", "paring.planning"},
}


TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of ours that one imports, at its top or within functions; for type hints alone does not count."""
    tree = TREES[module]
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in FILES else node.module for name in inner}
    return frozenset(name for name in found if name in FILES)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_a_file_imports_only_from_floors_below():
    for module in FILES:
        imported, allowed = imports_of(module), MAY_IMPORT.get(room_of(module))
        if allowed is not None:
            assert {room_of(name) for name in imported} - {room_of(module)} <= allowed, module
        assert "paring.cli" not in imported or module == "paring.__main__", module


def test_there_is_no_circle():
    TopologicalSorter({module: imports_of(module) for module in FILES}).prepare()


def test_no_arrow_runs_up():
    """A room stands above all that it imports: between rooms, too, there is no circle."""
    rooms: dict[str, set[str]] = {}
    for module in FILES:
        rooms.setdefault(room_of(module), set()).update(map(room_of, imports_of(module) - {module}))
    TopologicalSorter({room: above - {room} for room, above in rooms.items()}).prepare()


def test_a_name_stands_for_one_thing():
    """Classes, and files but those of commands and benchmarks, which are named after what they serve."""
    files = [path.stem for path in SOURCE.rglob("*.py") if path.parent.name not in ("commands", "benchmarks")]
    classes = [node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for names in (files, classes):
        assert not {name for name in names if names.count(name) > 1} - {"__init__"}


def test_the_plan_knows_every_room():
    free = {"paring", "paring.__main__", "paring.cli", "paring.commands"}
    assert {room_of(module) for module in FILES} - free == set(MAY_IMPORT)


def test_a_task_knows_no_other_room():
    """A stranger who writes a task needs to read nothing but tasks and types, and how answers are compared."""
    for module in FILES:
        if module.startswith("paring.tasks."):
            assert {room_of(name) for name in imports_of(module)} <= {
                "paring.tasks",
                *MAY_IMPORT["paring.tasks"],
            }


BANNED_NAMES = {"eval", "exec", "compile", "__import__", "hasattr"}
BANNED_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "yaml"}
BANNED_CALLS = {"torch.load", "yaml.load", "os.system", "os.popen", "torch.save", "np.load", "numpy.load"}
BANNED_ARGUMENTS = {("shell", True), ("trust_remote_code", True), ("use_safetensors", False), ("allow_pickle", True)}


def test_nothing_that_runs_what_it_reads():
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            assert not runs_what_it_reads(node), f"{module}: {ast.unparse(node)}"


def runs_what_it_reads(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return bool({name.name.split(".")[0] for name in node.names} & BANNED_MODULES)
    if isinstance(node, ast.ImportFrom):
        return node.module.split(".")[0] in BANNED_MODULES
    if not isinstance(node, ast.Call):
        return False
    given = {(key.arg, key.value.value) for key in node.keywords if isinstance(key.value, ast.Constant)}
    is_banned = ast.unparse(node.func) in BANNED_NAMES | BANNED_CALLS
    return is_banned or bool(given & BANNED_ARGUMENTS)


def test_a_file_says_what_it_is_for_and_is_short():
    for module, path in FILES.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 250, module
        assert not text or ast.get_docstring(TREES[module]), f"{module} has no first line that says what it is for"


@pytest.mark.parametrize("word", ["util", "helper", "manager", "handler", "misc", "common"])
def test_no_file_is_named_after_nothing(word):
    assert not [module for module in FILES if word in module.rpartition(".")[2]]


def test_the_page_of_the_plan_names_every_file():
    page = SOURCE.parents[1] / "docs/architecture.md"
    if not page.is_file():
        pytest.skip("the package lies outside its repository")
    text = page.read_text(encoding="utf-8")
    free = ("__init__", "commands", "benchmarks", "peft")
    files = [path for path in SOURCE.rglob("*.py") if path.stem not in free and path.parent.name not in free]
    assert not [path.name for path in files if path.name not in text]
