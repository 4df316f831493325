"""Write a run's adapter as a PEFT folder, or merged into a whole model."""

from pathlib import Path

from paring.adapters.attach import merge
from paring.adapters.peft_format import Layout, write_peft_folder
from paring.adapters.peft_reading import read_peft_folder
from paring.policy.loading import without_bars
from paring.runtime.files import staged_folder
from paring.runtime.folder import check_empty
from paring.subjects.opening import open_subject

VLLM_RANKS = (16, 32, 64, 128, 256, 320, 512)
"""Its default of --max-lora-rank, and the larger values that it takes."""


def export(subject: str | Path, to: str | Path, *, merged: bool = False, layout: Layout = "compact") -> Path:
    """Write a run's adapter as a PEFT folder with its tokenizer, or `merged` into a whole Hugging Face model. `layout`
    matters where the modules' ranks differ: see peft_format.Layout.

    Complete or not at all. Raises ValueError where `to` is not free or cannot be written, or there is no adapter."""
    source, target = Path(subject).expanduser(), Path(to).expanduser()
    if not any((source / name).is_file() for name in ("run.toml", "adapter_config.json")):
        raise ValueError(f"{source} holds no adapter: give the folder of a run or of a PEFT adapter")
    check_empty(target)
    opened = open_subject(str(subject))
    policy = opened.policy
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(target) as staging, without_bars():
            policy.tokenizer.save_pretrained(staging)
            if merged:
                merge(policy.model)
                policy.model.save_pretrained(staging)
            else:
                write_peft_folder(staging, policy.adapters, base_model=opened.base, layout=layout)
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}. Choose another folder") from error
    return target


def engine_note(adapter: Path) -> str | None:
    """How an engine must be set for the ranks of an exported adapter; None where its defaults take them.

    vLLM takes ranks up to 16 by default, and as a limit only the sizes that it has kernels for."""
    largest = max(len(A_RI) for A_RI, _ in read_peft_folder(adapter).tensors.values())
    if largest <= VLLM_RANKS[0]:
        return None
    fitting = next((size for size in VLLM_RANKS if size >= largest), None)
    if fitting is None:
        return f"the largest rank is {largest}, and vLLM takes {VLLM_RANKS[-1]} at most: export --merged for it"
    return f"the largest rank is {largest}: start vLLM with --max-lora-rank {fitting}"
