"""`paring serve`: the vLLM server that a recipe's rollouts need, or one that answers as a trained run does."""

import errno
import os
import shutil
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from paring.adapters.peft_format import CONFIG
from paring.adapters.peft_reading import read_peft_folder
from paring.policy.loading import DTYPES, Model, base_name, load_tokenizer, read_config, resolved
from paring.rollout.served.launching import ServerPlan, check_installed
from paring.runtime.folder import RunFolder
from paring.runtime.gpu import device_named
from paring.runtime.text import next_steps
from paring.training.config import Run, load_run
from paring.training.run_engine import planned_rank
from paring.training.start import base_of
from paring.types import Json

PROMPT, ANSWER = 1024, 4096
"""Tokens that a server has room for: of a prompt, and of an answer where no run says how long one may be."""


@dataclass(frozen=True)
class ServedSubject:
    """A plan and the name that clients ask for; None where rollouts load their adapters under names of their own."""

    plan: ServerPlan
    name: str | None

    def check(self) -> None:
        """Raises ValueError where vLLM is not installed here, or the port is in use."""
        check_installed(self.plan.command()[0], "--print shows the line for another machine")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((self.plan.host, self.plan.port))
            except OSError as error:
                where = f"--host {self.plan.host} --port {self.plan.port}"
                is_no_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
                remedy = "give an address of this machine as --host" if is_no_host else "choose another --port"
                raise ValueError(f"{where}: {error.strerror}; {remedy}") from error

    def words(self) -> str:
        """How it is asked, for the person who has started it."""
        url = f"http://{self.plan.host}:{self.plan.port}"
        if self.name is None:
            return f"for rollouts by  paring train ... rollout.engine=served 'rollout.servers=[\"{url}\"]'"
        return f'answers at {url}/v1 to "model": "{self.name}"'

    def run(self) -> None:
        """Become the server: the process is replaced, so that a signal reaches it and nothing is left."""
        command, environment = self.plan.command(), os.environ | self.plan.environment()
        program = shutil.which(command[0])
        assert program is not None, "check() comes first"
        os.execvpe(program, command, environment)


def served_subject(
    name: str, overrides: dict[str, Json], *, host: str, port: int, context: int | None
) -> ServedSubject:
    """The server for a run's folder or a PEFT adapter's, else for a recipe's rollouts. Raises ValueError for a run
    without an adapter, a supervised recipe, and a base that vLLM is not started for."""
    folder = Path(name).expanduser()
    if (folder / "run.toml").is_file() or (folder / CONFIG).is_file():
        if overrides:
            raise ValueError(f"{next(iter(overrides))}: {name} is trained; settings are for recipes")
        return _trained(folder, host, port, context)
    run = load_run(name, **overrides)
    if not isinstance(run, Run):
        raise ValueError(f"{name}: a supervised run samples nothing, so it needs no server; serve its folder")
    plan = _plan(run.model, planned_rank(run.adapter), run.rollout.max_new_tokens, host, port, context)
    return ServedSubject(replace(plan, adapters=run.rollout.ahead + 2), None)


def _trained(folder: Path, host: str, port: int, context: int | None) -> ServedSubject:
    """The adapter of a run that has ended, or a folder of PEFT's."""
    answer, adapter = ANSWER, folder
    if (folder / "run.toml").is_file():
        run, adapter = load_run(RunFolder(folder).existing_recipe()), RunFolder(folder).adapter
        answer = run.rollout.max_new_tokens if isinstance(run, Run) else ANSWER
    if not (adapter / CONFIG).is_file():
        steps = {f"paring train --resume {folder}": "let it end", f"paring export {folder} --to DIR": "write one"}
        raise ValueError("\n".join([f"{folder} has no adapter yet", *next_steps(steps)]))
    model, rank = base_of(str(folder)), max(read_peft_folder(adapter).ranks.values())
    template = load_tokenizer(model).chat_template if model.chat_template is not None else None
    name = folder.resolve().name
    plan = _plan(model, rank, answer, host, port, context)
    own = name, str(adapter.resolve())
    return ServedSubject(replace(plan, adapters=1, adapter=own, chat_template=template), name)


def _plan(model: Model, rank: int, answer: int, host: str, port: int, context: int | None) -> ServerPlan:
    """The plan for adapters of this rank on their base. Raises ValueError for a context that the base has not."""
    if Path(model.path).suffix == ".gguf" or model.quantisation != "none":
        raise ValueError(
            f"model.path = {model.path}: vLLM is started here for weights that are neither GGUF nor quantised alone; "
            "start it yourself (docs/serving.md)"
        )
    longest = read_config(model).max_position_embeddings
    if context is not None and context > longest:
        raise ValueError(f"--context {context}: {model.path} reads {longest} tokens at most")
    dtype = str(DTYPES[resolved(model).dtype]).removeprefix("torch.")
    room = context or min(longest, PROMPT + answer)
    on_gpu = device_named(model.device).type == "cuda"
    return ServerPlan(base_name(model.path), dtype, room, rank, host=host, port=port, on_gpu=on_gpu)
