"""Build an environment with verl, in which our objectives are tested against verl's own functions: `make test-verl`.

verl wants an older transformers than paring is tested with, so it needs an environment of its own. Only what its
losses and advantages import is installed of what verl requires: nothing that asks for a GPU."""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

VERL = "verl==0.9.1"
TORCH = "torch==2.13.0"
NEEDED = (
    *("transformers<5.11", "tensordict<0.16,>=0.15", "torchdata", "ray[default]", "hydra-core", "codetiming"),
    *(
        "pybind11",
        "pylatexenc",
        "datasets",
        "pandas",
        "packaging",
        "psutil",
        "orjson",
        "msgpack",
        "cloudpickle",
        "httpx",
        "peft",
        "pytest",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the environment goes; nothing is done where it is complete")
    folder = parser.parse_args().folder
    done = folder / VERL
    if done.is_file():
        return
    print(f"building {folder} (once; some minutes) ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    here = str(Path(__file__).resolve().parents[1])
    for packages in ([TORCH], [TORCH, *NEEDED], ["--no-deps", VERL], [TORCH, "transformers<5.11", "--editable", here]):
        command = [folder / "bin/python", "-m", "pip", "install", *packages, "--quiet", "--disable-pip-version-check"]
        subprocess.run(list(map(str, command)), check=True)
    done.touch()


if __name__ == "__main__":
    sys.exit(main())
