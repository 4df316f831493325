"""paring as a model of lm-evaluation-harness: `lm_eval --model paring --model_args model=RUN`, generating only."""

import copy
import sys
from collections import Counter
from collections.abc import Sequence
from typing import NoReturn

from lm_eval.api.instance import Instance  # pyright: ignore[reportMissingImports] - an extra, as below
from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]

from paring.policy.templates import VERBATIM
from paring.rollout.engine import Sampling
from paring.rollout.local import LocalEngine, check_decodes
from paring.runtime.screen import Screen
from paring.subjects.opening import open_subject
from paring.tasks.splits import digest
from paring.types import Key, Problem

LONGEST_ANSWER = 256
"""Tokens, where a task does not say: the harness's own default."""
SETTINGS = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k", "min_p"}


@register_model("paring")
class PolicyUnderTest(LM):
    """A run, a model or a PEFT adapter, whatever `paring eval` takes, answered by the local engine.

    model   the run's folder, the model, or the adapter's folder
    seed    of the noise where a task samples
    rows    answers decoded at once
    """

    def __init__(self, model: str, seed: int = 0, rows: int = 32, **given_by_the_harness: object) -> None:
        unknown = given_by_the_harness.keys() - {"batch_size", "max_batch_size", "device"}
        if unknown:
            raise ValueError(f"model_args: {', '.join(sorted(unknown))}: unknown; there are model, seed and rows")
        super().__init__()
        policy = check_decodes(open_subject(str(model)).policy)
        if policy.unpacked is not None:
            Screen(sys.stderr).note(f"{model}: {policy.pace}")
        self._tokenizer = copy.deepcopy(policy.tokenizer)
        policy.tokenizer.chat_template = VERBATIM  # the harness has put prompts into words, template and all
        self._engine = LocalEngine(policy, rows=int(rows))
        self._key = Key(int(seed), step=0)

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """The answers, each up to the first of its stop texts. Raises ValueError for settings that are not known and
        for prompts that leave no room in the context: none is cut."""
        prompts, samplings, stops = zip(*map(_parts_of, requests), strict=True) if requests else ((), (), ())
        answers = [""] * len(prompts)
        for sampling in dict.fromkeys(samplings):
            places = [place for place, one in enumerate(samplings) if one == sampling]
            seen: Counter[str] = Counter()
            problems = []
            for prompt in (prompts[place] for place in places):
                # An id of its own, also where a prompt stands several times: noise is a function of it.
                seen[prompt] += 1
                name = f"lm-eval/{digest(prompt)}-{seen[prompt]}"
                problems.append(Problem(name, ({"role": "user", "content": prompt},), ""))
            groups = self._engine.sample(problems, 1, sampling, self._key)
            for place, group in zip(places, groups, strict=True):
                answers[place] = _up_to(group.completions[0].text, stops[place])
                self.cache_hook.add_partial("generate_until", requests[place].args, answers[place])
        return answers

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        prompt = self._tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return str(prompt)

    @property
    def tokenizer_name(self) -> str:
        return self._tokenizer.name_or_path.replace("/", "__")

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> NoReturn:
        raise NotImplementedError(
            "--model paring answers tasks that generate (output_type: generate_until); for tasks of log-likelihood, "
            "`paring export RUN --to DIR --merged` and use --model hf --model_args pretrained=DIR"
        )

    loglikelihood_rolling = loglikelihood


def _parts_of(instance: Instance) -> tuple[str, Sampling, tuple[str, ...]]:
    """Prompt, sampling and stop texts of a request."""
    prompt, given = instance.args
    unknown = given.keys() - SETTINGS
    if unknown:
        raise ValueError(f"generation_kwargs: {', '.join(sorted(unknown))}: unknown here; known: {sorted(SETTINGS)}")
    until = given.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    sampling = Sampling(
        max_new_tokens=int(given.get("max_gen_toks", LONGEST_ANSWER)),
        temperature=float(given.get("temperature", 1.0)) if given.get("do_sample") else 0.0,
        top_p=float(given.get("top_p", 1.0)),
        top_k=int(given.get("top_k", 0)),
        min_p=float(given.get("min_p", 0.0)),
    )
    return prompt, sampling, stops


def _up_to(text: str, stops: Sequence[str]) -> str:
    ends = [text.find(stop) for stop in stops if stop]
    return text[: min((end for end in ends if end >= 0), default=len(text))]


if __name__ == "__main__":
    # Versions of the harness that do not look for plugins know the model once this file was run.
    from lm_eval.__main__ import cli_evaluate  # pyright: ignore[reportMissingImports]

    cli_evaluate()
