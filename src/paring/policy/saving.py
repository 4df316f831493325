"""A base whose weights came from a GGUF file, made fit to be saved."""

from transformers import PreTrainedModel


def as_plain_numbers(base: PreTrainedModel) -> None:
    """In place: its weights are plain numbers, and transformers would refuse to save them as of a GGUF file."""
    vars(base).pop("hf_quantizer", None)
    vars(base.config).pop("quantization_config", None)
