"""What a run leaves behind is what PEFT and transformers read: the same logits, and a place to start from."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from paring import train
from paring.policy.loading import EMBEDDED
from paring.policy.packing import Shared, pack
from paring.subjects.export import export
from paring.subjects.opening import open_subject


@pytest.fixture(scope="module")
def trained(small_run, tmp_path_factory):
    """A run whose adapters change the model much more than rounding does."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(small_run({"optimiser.warmup": 0, "optimiser.lr": 0.01}), folder)
    return folder


@pytest.fixture(scope="module")
def token_BN():
    return torch.randint(1, 100, (3, 20), generator=torch.Generator().manual_seed(0))


def logits_of(model, token_BN):
    with torch.no_grad():
        return model(input_ids=token_BN).logits


def ours(name, token_BN):
    """Logits of our policy, each row as a packed prompt of its own."""
    policy = open_subject(str(name)).policy
    with torch.no_grad():
        batches = [pack([Shared(row.tolist(), [])], policy.device) for row in token_BN]
        hidden = [policy.hidden(b.token_N[None], b.position_N[None], b.layout)[0] for b in batches]
        return torch.stack([policy.logits(hidden_ND) for hidden_ND in hidden])


@pytest.fixture(scope="module")
def expected(trained, token_BN):
    return ours(trained, token_BN)


def base():
    return AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32).eval()


def test_the_adapter_changes_the_model(expected, token_BN):
    assert (expected - logits_of(base(), token_BN)).abs().max() > 0.1


def test_peft_gives_the_same_logits(trained, expected, token_BN):
    model = PeftModel.from_pretrained(base(), trained / "adapter").eval()
    torch.testing.assert_close(logits_of(model, token_BN), expected, atol=1e-5, rtol=1e-5)


def test_an_exported_adapter_gives_the_same_logits(trained, expected, token_BN, tmp_path):
    folder = export(trained, tmp_path / "exported")
    model = PeftModel.from_pretrained(base(), folder).eval()
    torch.testing.assert_close(logits_of(model, token_BN), expected, atol=1e-5, rtol=1e-5)
    assert (folder / "tokenizer.json").is_file()
    torch.testing.assert_close(ours(folder, token_BN), expected, atol=0, rtol=0)


def test_a_merged_model_gives_the_same_logits_without_peft(trained, expected, token_BN, tmp_path):
    folder = export(trained, tmp_path / "deep/merged", merged=True)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(logits_of(model, token_BN), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours(folder, token_BN), expected, atol=1e-4, rtol=1e-4)


def test_an_adapter_is_a_place_to_start_from(trained, small_run, tmp_path):
    """With a learning rate of next to nothing, the adapter that comes out is the one that went in."""
    start = {"adapter.start": str(trained / "adapter"), "optimiser.lr": 1e-30, "steps": 1, "adapter.rank": 3}
    train(small_run(start), tmp_path / "run")
    name = "adapter/adapter_model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes()


def test_what_starts_from_an_adapter_moves_on(trained, small_run, tmp_path):
    train(small_run({"adapter.start": str(trained / "adapter")}), tmp_path / "run")
    name = "adapter/adapter_model.safetensors"
    old, new = load_file(trained / name), load_file(tmp_path / "run" / name)
    assert old.keys() == new.keys()
    assert any(not torch.equal(old[key], new[key]) for key in old)
