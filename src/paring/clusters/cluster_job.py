"""A run on the machines of a cluster as data: its nodes, what each does, and what would not work."""

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from paring.policy.loading import DTYPES
from paring.rollout.served.launching import ServerPlan
from paring.runtime.text import count_words
from paring.training.config import AnyRun, Run
from paring.training.run_engine import planned_rank
from paring.training.shares import check_number, check_processes

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
"""Names of jobs, as Kubernetes takes them for hosts."""
WORD = re.compile(r"[\w.@:+/-]+", re.ASCII)
PROMPT = 1024
"""Tokens of a prompt that servers have room for, unless the context is given."""


@dataclass(frozen=True)
class ClusterJob:
    """The nodes of a job, the first of which train, and the servers on them.

    nodes          machines, each with `gpus` GPUs
    rollout_nodes  the last of the nodes, all of whose GPUs serve
    rollout_gpus   GPUs that serve on each of the others, beside those that train
    server_gpus    GPUs of a server
    shared         an absolute folder that all nodes see: the run lies there, below its `name`
    setup          shell lines for each node, such as those that activate an environment
    vllm           the words that start a server
    context        tokens of a prompt with its answer, at most
    port           the first server's on each node; the next ones follow
    cpus           of each node
    image          a container's

    Raises ValueError where the parts do not fit each other, or the run."""

    name: str
    run: AnyRun
    shared: str
    nodes: int = 1
    gpus: int = 1
    rollout_nodes: int = 0
    rollout_gpus: int = 0
    server_gpus: int = 1
    setup: str = ""
    vllm: tuple[str, ...] = ("vllm", "serve")
    context: int | None = None
    port: int = 8000
    cpus: int | None = None
    image: str | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"--name {self.name}: a job's name is of a-z, 0-9 and -, at most 40 characters, and neither begins nor "
                "ends with -"
            )
        if not PurePosixPath(self.shared).is_absolute() or not self.shared.isprintable():
            raise ValueError(f"--shared {self.shared}: give the absolute path of a folder that all nodes see")
        self._check_nodes()
        self._check_run()

    def _check_nodes(self) -> None:
        if self.rollout_nodes >= self.nodes:
            raise ValueError(f"--rollout-nodes {self.rollout_nodes} of --nodes {self.nodes}: none is left to train")
        if self.rollout_gpus >= self.gpus:
            raise ValueError(
                f"--rollout-gpus {self.rollout_gpus} of --gpus {self.gpus}: none is left to train; lower it, or let "
                "whole nodes serve by --rollout-nodes"
            )
        serving = {"--rollout-gpus": self.rollout_gpus, "--gpus": self.gpus if self.rollout_nodes else 0}
        for option, count in serving.items():
            if count % self.server_gpus:
                raise ValueError(f"{option} {count} cannot be divided into servers of --server-gpus {self.server_gpus}")
        if self.port + self.gpus > 65536:
            raise ValueError(f"--port {self.port}: a port for each server is needed from there on, up to 65535")

    def _check_run(self) -> None:
        run = self.run
        if not isinstance(run, Run):
            if self.servers:
                raise ValueError("--rollout-gpus, --rollout-nodes: a supervised run samples nothing; leave them out")
        elif self.servers and run.rollout.servers:
            raise ValueError(
                "rollout.servers names servers, and --rollout-gpus or --rollout-nodes start others: leave one out"
            )
        elif self.servers and (run.model.quantisation != "none" or run.model.path.endswith(".gguf")):
            raise ValueError(
                "servers are started for weights that are neither GGUF nor quantised alone: leave out --rollout-gpus "
                "and --rollout-nodes"
            )
        elif self.servers:
            self.server_plan().command(self.vllm)  # refuses a rank that no server takes
        (check_number if self.servers else check_processes)(self.recipe, self.trainers)

    @property
    def train_nodes(self) -> int:
        return self.nodes - self.rollout_nodes

    @property
    def trainers_here(self) -> int:
        """Processes on each node that trains."""
        return self.gpus - self.rollout_gpus

    @property
    def trainers(self) -> int:
        return self.train_nodes * self.trainers_here

    @property
    def servers_by_node(self) -> list[int]:
        beside, alone = self.rollout_gpus // self.server_gpus, self.gpus // self.server_gpus
        return [beside] * self.train_nodes + [alone] * self.rollout_nodes

    @property
    def servers(self) -> int:
        return sum(self.servers_by_node)

    def __str__(self) -> str:
        parts = {"node": self.nodes, "trainer": self.trainers, "server": self.servers}
        return f"{', '.join(count_words(count, thing) for thing, count in parts.items())}; the run: {self.folder}"

    @property
    def folder(self) -> str:
        """The run's, on the nodes."""
        return str(PurePosixPath(self.shared) / self.name)

    @property
    def recipe(self) -> AnyRun:
        """The run as the nodes make it: with servers, and their precision, where some are started."""
        run = self.run
        if not isinstance(run, Run) or not self.servers:
            return run
        dtype = "bfloat16" if run.model.dtype == "auto" else run.model.dtype
        return replace(run, model=replace(run.model, dtype=dtype), rollout=replace(run.rollout, engine="served"))

    def server_plan(self) -> ServerPlan:
        """The same for all servers; the model as the recipe names it. Raises ValueError for a rank that none takes."""
        run = self.recipe
        assert isinstance(run, Run), "a supervised run has no servers"
        return ServerPlan(
            run.model.path,
            str(DTYPES[run.model.dtype]).removeprefix("torch."),
            self.context or run.rollout.max_new_tokens + PROMPT,
            planned_rank(run.adapter),
            run.rollout.versions,
            host="0.0.0.0",
            port=self.port,
            on_gpu=True,
            gpus=self.server_gpus,
        )


def plain_word(option: str, value: str) -> str:
    """The value, which has no space and no quote. Raises ValueError."""
    if not WORD.fullmatch(value):
        raise ValueError(f"{option} {value!r}: letters, digits and . _ @ : + / - alone")
    return value
