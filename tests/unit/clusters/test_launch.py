"""`paring launch`: each file is read as its tool reads it; a node's script is run with stand-ins for programs."""

import ast
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paring import cli
from paring.clusters.cluster_job import ClusterJob
from paring.clusters.node_script import node_script
from paring.clusters.yaml_text import yaml_text
from paring.training.config import load_run, to_toml

TOOLS = {
    "slurm": ["--partition", "gpu", "--time", "12:00:00"],
    "skypilot": ["--accelerator", "H100", "--volume", "runs"],
    "ray": [],
    "kubernetes": ["--volume", "runs", "--image", "registry.example/paring:1"],
}
SIZES = ["--nodes", "4", "--gpus", "8", "--rollout-gpus", "6"]
HOSTILE = '/mnt/it\'s "a" $(touch broken) `x` #:\\é'
NEEDS_BASH = pytest.mark.skipif(sys.platform == "win32", reason="the script is for bash")


def launched(tool, *options, shared="/mnt/runs", recipe="quickstart"):
    arguments = ["launch", recipe, "rollout.problems=32", "--print", tool, "--shared", shared, *TOOLS[tool], *options]
    return CliRunner().invoke(cli.app, arguments)


def text_of(tool, *options, **place):
    done = launched(tool, *options, **place)
    assert done.exit_code == 0, done.output
    return done.stdout


def bash(script, **environment):
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=os.environ | environment)


def job(**changes):
    given = {"name": "one", "run": load_run("quickstart"), "shared": "/mnt/runs"}
    return ClusterJob(**(given | changes))


def scripts_in(tool, text):
    """The shell scripts that a file holds, as its tool would read them."""
    if tool == "slurm":
        return [text]
    if tool == "ray":
        assigned = {
            one.targets[0].id: one.value
            for one in ast.parse(text).body
            if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)
        }
        return [ast.literal_eval(assigned["WATCH"]) + ast.literal_eval(assigned["SCRIPT"])]
    yaml = pytest.importorskip("yaml")
    documents = list(yaml.safe_load_all(text))
    return (
        [documents[0]["run"]]
        if tool == "skypilot"
        else documents[1]["spec"]["template"]["spec"]["containers"][0]["args"]
    )


@NEEDS_BASH
@pytest.mark.parametrize("tool", TOOLS)
def test_each_script_is_shell_whatever_stands_in_its_names(tool, tmp_path):
    text = text_of(tool, *SIZES, shared=HOSTILE)
    for script in scripts_in(tool, text):
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, cwd=tmp_path)
        assert (checked.returncode, checked.stderr) == (0, "")
        [line] = [line for line in script.splitlines() if line.startswith("out=")]
        assert bash(f'{line}\nprintf %s "$out"').stdout == f"{HOSTILE}/quickstart"
    assert not (tmp_path / "broken").exists()


def test_skypilot_has_the_fields_of_a_task():
    yaml = pytest.importorskip("yaml")
    task = yaml.safe_load(text_of("skypilot", *SIZES, "--image", "a/b:1", "--cpus", "32", shared=HOSTILE))
    assert {key: value for key, value in task.items() if key != "run"} == {
        "name": "quickstart",
        "num_nodes": 4,
        "resources": {"accelerators": "H100:8", "cpus": "32+", "image_id": "docker:a/b:1"},
        "volumes": {HOSTILE: "runs"},
        "secrets": {"VLLM_API_KEY": None},
    }


def test_kubernetes_has_a_pod_a_node_and_a_name_for_each():
    yaml = pytest.importorskip("yaml")
    service, indexed = yaml.safe_load_all(text_of("kubernetes", *SIZES, "--namespace", "rl", shared=HOSTILE))
    assert service["spec"]["clusterIP"] == "None"
    spec = indexed["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels and pod["subdomain"] == service["metadata"]["name"] == "quickstart"
    [container] = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert container["volumeMounts"][0] == {"name": "shared", "mountPath": HOSTILE}
    [key] = [one for one in container["env"] if one["name"] == "VLLM_API_KEY"]
    assert key["valueFrom"]["secretKeyRef"] == {"name": "paring", "key": "VLLM_API_KEY"}
    assert "quickstart-0.quickstart quickstart-1.quickstart" in container["args"][0]


def test_slurm_asks_for_what_was_given():
    lines = text_of("slurm", *SIZES, "--account", "me").splitlines()
    asked = dict(line.removeprefix("#SBATCH --").split("=") for line in lines if line.startswith("#SBATCH"))
    expected = {"nodes": "4", "ntasks-per-node": "1", "gpus-per-node": "8", "partition": "gpu", "account": "me"}
    assert asked | expected | {"time": "12:00:00"} == asked
    assert lines[0] == "#!/bin/bash" and lines[-1] == 'srun --kill-on-bad-exit=1 bash -c "$script"'


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "",
        "yes",
        "- x",
        "a: b # c",
        "tab\there",
        "two\nlines\n",
        " led\nby space\n",
        "end\n\n",
        "\u0085 \u2028 \U0001f600 \x7f",
    ],
)
def test_yaml_gives_back_what_was_put_in(value):
    yaml = pytest.importorskip("yaml")
    tree = {"one": value, value or "empty": [value, {"in": value, "list": [1, None, True]}, {}, []], "last": {}}
    assert yaml.safe_load(yaml_text(tree)) == tree


@pytest.fixture
def run_node(tmp_path):
    """Runs a node's script. Programs that it starts write down their arguments, and vllm waits to be ended."""
    programs, shared = tmp_path / "programs", tmp_path / "sha'red"
    programs.mkdir()
    note = f'printf "%s\\n" "$0 $CUDA_VISIBLE_DEVICES $*" >> {shlex.quote(str(tmp_path / "calls"))}\n'
    for name, rest in {
        "torchrun": "sleep ${SECONDS_OF_TRAINING:-0.3}\nexit ${CODE:-0}",
        "vllm": "exec sleep 30",
        "python": "echo $3",
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{note if name != 'python' else ''}{rest}\n")
        (programs / name).chmod(0o755)

    def run(job_of, node=0, hosts="a b c", **environment):
        words = {"NODE": str(node), "HOSTS": hosts, "JOB": "j1", "VLLM_API_KEY": "secret"} | environment
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        clean = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        return subprocess.Popen(
            ["bash", "-c", node_script(job_of(str(shared)))],
            env=clean | words | {"PATH": path},
            text=True,
            stderr=subprocess.PIPE,
        )

    def calls():
        lines = (tmp_path / "calls").read_text().splitlines()
        return sorted(line.removeprefix(f"{programs}/") for line in lines)

    run.calls, run.shared = calls, shared
    return run


@NEEDS_BASH
def test_a_node_that_trains_starts_its_servers_and_wires_them(run_node):
    node = run_node(lambda shared: job(shared=shared, nodes=3, gpus=4, rollout_gpus=2, rollout_nodes=1, server_gpus=2))
    assert node.wait(20) == 0, node.stderr.read()
    trainer, server = run_node.calls()
    assert server.startswith("vllm 2,3 serve embedded --enable-lora --host 0.0.0.0 --port 8000 --dtype bfloat16")
    assert "--max-lora-rank 8" in server and "--tensor-parallel-size 2" in server and "secret" not in server
    assert trainer.startswith("torchrun 0,1 --nnodes 2 --nproc-per-node 2") and "--rdzv-endpoint a:29400" in trainer
    addresses = json.loads(trainer.partition("rollout.servers=")[2])
    assert addresses == ["http://a:8000", "http://b:8000", "http://c:8000", "http://c:8001"]
    logs = run_node.shared / "one.logs"
    assert load_run(logs / "recipe-0.toml").rollout.engine == "served"
    assert f"{logs / 'recipe-0.toml'} --out {run_node.shared / 'one'}" in trainer
    assert (logs / "ended.j1").exists(), "so that nodes that only serve end, too"


@NEEDS_BASH
def test_a_node_that_serves_ends_when_the_first_has_ended(run_node):
    made = dict(nodes=3, gpus=4, rollout_nodes=2)
    node = run_node(lambda shared: job(shared=shared, **made), node=2, CUDA_VISIBLE_DEVICES="4,5,6,7")
    logs = run_node.shared / "one.logs"
    while not list(logs.glob("server-2-8003.log")):
        time.sleep(0.05)
    time.sleep(0.3)
    node.send_signal(signal.SIGTERM)
    assert node.wait(20) == 143
    assert [line.split()[:2] for line in run_node.calls()] == [["vllm", gpu] for gpu in "4567"]
    (logs / "ended.j1").touch()
    again = run_node(lambda shared: job(shared=shared, **made), node=1)
    assert again.wait(20) == 0


@NEEDS_BASH
def test_the_end_of_the_training_is_that_of_the_node_and_leaves_nothing(run_node):
    node = run_node(lambda shared: job(shared=shared, gpus=2, rollout_gpus=1), CODE="7")
    assert node.wait(20) == 7
    marked = subprocess.run(["pgrep", "-f", "exec sleep 30"], capture_output=True, text=True)
    assert not marked.stdout


@NEEDS_BASH
def test_a_run_that_was_begun_goes_on_and_without_servers_no_key_is_needed(run_node):
    begun = run_node.shared / "one" / "run.toml"
    begun.parent.mkdir(parents=True)
    begun.write_text(to_toml(load_run("quickstart")))
    node = run_node(lambda shared: job(shared=shared, gpus=2), VLLM_API_KEY="")
    assert node.wait(20) == 0, node.stderr.read()
    [trainer] = run_node.calls()
    assert trainer.endswith(f"-m paring train --resume {begun.parent}")


@NEEDS_BASH
def test_servers_need_a_key(run_node):
    node = run_node(lambda shared: job(shared=shared, gpus=2, rollout_gpus=1), VLLM_API_KEY="")
    assert node.wait(20) != 0
    assert "VLLM_API_KEY: set it to a secret" in node.stderr.read()


@pytest.mark.parametrize(
    ("tool", "options", "words"),
    [
        ("slurm", ["--rollout-gpus", "1"], "--rollout-gpus 1 of --gpus 1: none is left to train"),
        ("slurm", ["--rollout-nodes", "1"], "--rollout-nodes 1 of --nodes 1: none is left to train"),
        ("slurm", [*SIZES, "--server-gpus", "4"], "--rollout-gpus 6 cannot be divided into servers of --server-gpus 4"),
        ("slurm", ["--nodes", "64"], "64 processes for rollout.problems = 32"),
        ("slurm", ["--name", "A b"], "--name A b: a job's name"),
        ("slurm", ["--account", "me\n#SBATCH --x"], "--account"),
        ("slurm", ["--accelerator", "H100"], "--accelerator: an option of --print skypilot"),
        ("slurm", [*SIZES, "rollout.engine=served", "rollout.servers=['http://a:1']"], "leave one out"),
        ("slurm", ["--nodes", "2", "rollout.engine=served"], "and no server"),
        ("slurm", [*SIZES, "model.path=x.gguf"], "neither GGUF nor quantised"),
        ("slurm", [*SIZES, "adapter.rank=1000"], "vLLM takes 512 at most"),
        ("ray", ["--image", "a"], "--image: the nodes of a Ray cluster"),
    ],
)
def test_what_would_not_work_is_one_message(tool, options, words):
    done = launched(tool, *options)
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and words in done.stderr, done.output


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_needs_is_asked_for(tool):
    done = CliRunner().invoke(cli.app, ["launch", "quickstart", "--print", tool])
    assert done.exit_code == 2 and "--shared" in done.stderr
    done = CliRunner().invoke(cli.app, ["launch", "quickstart", "--print", tool, "--shared", "runs"])
    assert done.exit_code == 2 and ("absolute" in done.stderr or "needs it" in done.stderr)


def test_a_file_is_written(tmp_path):
    done = launched("slurm", "--out", str(tmp_path / "files"))
    assert done.exit_code == 0 and "1 node, 1 trainer, 0 servers" in done.stdout
    assert Path(tmp_path / "files" / "quickstart.sbatch").read_text().startswith("#!/bin/bash")


def test_servers_hold_the_adapters_of_rollouts_ahead():
    run = load_run("quickstart", **{"rollout.ahead": 3, "rollout.truncate_ratio": 2.0})
    assert job(run=run, gpus=2, rollout_gpus=1).server_plan().adapters == 5
    assert job(run=run, gpus=3, rollout_gpus=1).server_plan().adapters == 5, "two trainers sample ahead, too"
