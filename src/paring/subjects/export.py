"""Write a run's adapter as a PEFT folder, or merged into a whole model: read back and compared before it is there."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from paring.adapters.peft_format import CONFIG, Layout
from paring.adapters.peft_reading import read_peft_folder
from paring.policy.loading import without_bars
from paring.policy.publishing import ReadBack, publish
from paring.policy.wrappers import loader_of
from paring.rollout.served.launching import VLLM_RANK, VLLM_RANKS
from paring.runtime.files import staged_folder
from paring.runtime.folder import check_empty
from paring.runtime.text import count_words
from paring.settings.options import OptionError
from paring.subjects.card import CardFacts, write_card
from paring.subjects.merging import checkpoint_dtype, write_merged
from paring.subjects.opening import base_of, open_subject
from paring.types import Json

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Export:
    """What was written, in how many files of weights and bytes, and how it was checked."""

    folder: Path
    kind: Literal["adapter", "model"]
    dtype: str
    files: int
    bytes: int
    check: ReadBack
    note: str | None
    """How an engine must be set for it; None where its defaults take it."""
    loader: str
    """The class of transformers that loads the base, or the whole model."""

    def as_plain(self) -> dict[str, Json]:
        return asdict(self) | {"folder": str(self.folder)}

    @property
    def size(self) -> str:
        """0.18 MB in 1 file, float32"""
        amount = f"{self.bytes / 1e9:.2f} GB" if self.bytes >= 1e9 else f"{self.bytes / 1e6:.2f} MB"
        return f"{amount} in {count_words(self.files, 'file')}, {self.dtype}"

    def __str__(self) -> str:
        return f"{self.kind} written to {self.folder}: {self.size}\n{self.check}"


def export(
    subject: str | Path,
    to: str | Path,
    *,
    merged: bool = False,
    layout: Layout = "compact",
    dtype: Dtype | None = None,
    checkpoint: str | None = None,
) -> Path:
    """Write a run's adapter as a PEFT folder with its tokenizer, or `merged` into a whole Hugging Face model. `layout`
    matters where the modules' ranks differ: see peft_format.Layout. `dtype` is that of a merged model, by default its
    checkpoint's. `checkpoint`: of a run, "best" or a step; None: its end. Returns the folder.

    It is there complete, or not at all: what was written is read back first, and gives the same logits. Raises
    ValueError where `to` is not free or cannot be written, where there is no adapter, and where what is read back
    differs."""
    return exported(subject, to, merged=merged, layout=layout, dtype=dtype, checkpoint=checkpoint).folder


def exported(
    subject: str | Path,
    to: str | Path,
    *,
    merged: bool,
    layout: Layout = "compact",
    dtype: Dtype | None = None,
    checkpoint: str | None = None,
) -> Export:
    """The same, with what there is to say of it."""
    source, target = Path(subject).expanduser(), Path(to).expanduser()
    check_source(source)
    if dtype is not None and not merged:
        whole = "an adapter is always fp32; a whole model may be of this type"
        raise OptionError(lambda option: f"{option.given('dtype', dtype)}: {whole} ({option('merged')})")
    check_empty(target)
    model = base_of(str(subject))
    stored = dtype or (checkpoint_dtype(model) if merged else "float32")
    if merged and stored != model.dtype:
        model = replace(model, dtype="float32")  # merged in fp32, and cast last
    policy = open_subject(str(subject), model, checkpoint).policy
    loader = loader_of(policy.model, merged=merged)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged_folder(target) as staging, without_bars():
            if merged:
                check = write_merged(staging, policy, model, stored)
                remedy = "export the adapter, without --merged"
            else:
                policy.tokenizer.save_pretrained(staging)
                if policy.model.generation_config is not None:  # which tokens end an answer
                    policy.model.generation_config.save_pretrained(staging)
                check = publish(staging, policy.model, policy.adapters, base=model.path, target=target, layout=layout)
                remedy = "export the whole model, with --merged"
            if check.fault is not None:
                raise ValueError(
                    f"{check.reader} does not read what was trained, so nothing was written: {check.fault}. The way "
                    f"round: {remedy}"
                )
            files = sorted(staging.glob("*.safetensors"))
            note = None if merged else engine_note(staging)
            written = Export(
                target,
                "model" if merged else "adapter",
                stored,
                len(files),
                sum(file.stat().st_size for file in files),
                check,
                note,
                loader,
            )
            lines = [written.size, str(check), *([] if note is None else [note])]
            write_card(staging, CardFacts.of(source, target, written.kind, model, lines, loader))
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror}. Choose another folder") from error
    return written


def check_source(source: Path) -> None:
    """Raises ValueError unless it is the folder of a run or of a PEFT adapter."""
    if not any((source / name).is_file() for name in ("run.toml", CONFIG)):
        raise ValueError(f"{source} holds no adapter: give the folder of a run or of a PEFT adapter")


def engine_note(adapter: Path) -> str | None:
    """How an engine must be set for the ranks of an exported adapter; None where its defaults take them.

    vLLM takes ranks up to 16 by default, and as a limit only the sizes that it has kernels for."""
    largest = max(len(A_RI) for A_RI, _ in read_peft_folder(adapter).tensors.values())
    if largest <= VLLM_RANK:
        return None
    fitting = next((size for size in VLLM_RANKS if size >= largest), None)
    if fitting is None:
        return f"the largest rank is {largest}, and vLLM takes {VLLM_RANKS[-1]} at most: export --merged for it"
    return f"the largest rank is {largest}: start vLLM with --max-lora-rank {fitting}"
