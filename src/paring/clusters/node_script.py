"""The shell script that each node of a job runs: its servers, its trainers, and an end to all that it has started."""

from shlex import join, quote

from paring.clusters.cluster_job import ClusterJob
from paring.training.config import to_toml

MEETING = 29400
"""The port at which torchrun's processes meet, torchrun's own default."""
TRIES = 3

HEAD = """\
set -euo pipefail
set -m  # what is started in the background has a process group of its own
read -ra hosts <<< "$HOSTS"
IFS=, read -ra gpus <<< "${CUDA_VISIBLE_DEVICES:-%(gpus)s}"
[ "${#gpus[@]}" -ge %(count)d ] || { echo "node $NODE has ${#gpus[@]} GPUs of %(count)d" >&2; exit 2; }
out=%(folder)s
logs="$out.logs"
ended="$logs/ended.$JOB"
mkdir -p "$logs"
trainer=
finish() {
  trap - EXIT
  for group in $(jobs -p); do kill -TERM -- "-$group" 2>/dev/null || true; done
  [ "$NODE" != 0 ] || : > "$ended"
  wait
}
trap finish EXIT
trap 'if [ -n "$trainer" ]; then kill -TERM "$trainer" 2>/dev/null || true; else exit 143; fi' TERM INT
"""
SERVERS = """\
: "${VLLM_API_KEY:?set it to a secret of your own: servers ask for it, and it stands in no file}"
export VLLM_API_KEY %(environment)s
served=(%(served)s)  # servers on each node
addresses=()
servers=()
for host in "${!hosts[@]}"; do
  for ((one = 0; one < served[host]; one++)); do addresses+=("\\"http://${hosts[host]}:$((%(port)d + one))\\""); done
done
model="$(python -c 'import sys; from paring.policy.loading import base_name; print(base_name(sys.argv[1]))' %(model)s)"
serve() {  # the GPUs of a server, and its port
  (
    for try in %(tries)s; do
      CUDA_VISIBLE_DEVICES="$1" %(command)s && break
      sleep 5
    done
  ) > "$logs/server-$NODE-$2.log" 2>&1 &
  servers+=("$!")
}
first=$((${#gpus[@]} - served[NODE] * %(each)d))
for ((one = 0; one < served[NODE]; one++)); do
  serve "$(IFS=,; echo "${gpus[*]:first + one * %(each)d:%(each)d}")" "$((%(port)d + one))"
done
"""
WAITING = """\
if [ "$NODE" -ge %(train_nodes)d ]; then  # this node only serves, until the first one has ended
  while [ ! -e "$ended" ]; do
    for group in "${servers[@]}"; do kill -0 -- "-$group" 2>/dev/null || exit 1; done
    sleep 5 &
    wait "$!" || true
  done
  exit 0
fi
"""
TRAINER = """\
recipe="$logs/recipe-$NODE.toml"
cat > "$recipe" <<'%(end)s'
%(recipe)s%(end)s
what=("$recipe" --out "$out")
[ ! -f "$out/run.toml" ] || what=(--resume "$out")
CUDA_VISIBLE_DEVICES="$(IFS=,; echo "${gpus[*]:0:%(trainers)d}")" torchrun \\
  --nnodes %(train_nodes)d --nproc-per-node %(trainers)d --max-restarts 1 \\
  --rdzv-id "$JOB" --rdzv-backend c10d --rdzv-endpoint "${hosts[0]}:%(meeting)d" \\
  --rdzv-conf "is_host=$((NODE == 0))" \\
  -m paring train "${what[@]}"%(settings)s &
trainer=$!
code=0
wait "$trainer" || code=$?
while kill -0 "$trainer" 2>/dev/null; do wait "$trainer" || code=$?; done
exit "$code"
"""


def node_script(job: ClusterJob) -> str:
    """The script of every node, for bash. It is run with three words in its environment:

    NODE   the number of the node, from 0
    HOSTS  the names of all nodes in their order, with spaces between
    JOB    a word of letters, digits and - for this start of the job"""
    count = job.gpus
    head = HEAD % {"gpus": ",".join(map(str, range(count))), "count": count, "folder": quote(job.folder)}
    setup = f"{job.setup.rstrip()}\n" if job.setup.strip() else ""
    parts = [head, setup]
    if job.servers:
        plan = job.server_plan()
        words = plan.command(job.vllm)
        places = {words.index(plan.model): '"$model"', words.index("--port") + 1: '"$2"'}
        command = " ".join(places.get(place, quote(word)) for place, word in enumerate(words))
        parts.append(
            SERVERS
            % {
                "environment": join(f"{name}={value}" for name, value in plan.environment().items()),
                "served": " ".join(map(str, job.servers_by_node)),
                "port": job.port,
                "tries": " ".join(map(str, range(1, TRIES + 1))),
                "command": command,
                "model": quote(job.run.model.path),
                "each": job.server_gpus,
            }
        )
    if job.rollout_nodes:
        parts.append(WAITING % {"train_nodes": job.train_nodes})
    recipe = to_toml(job.recipe)
    settings = ' "rollout.servers=[$(IFS=,; echo "${addresses[*]}")]"' if job.servers else ""
    numbers = {"train_nodes": job.train_nodes, "trainers": job.trainers_here, "meeting": MEETING}
    parts.append(TRAINER % {"end": end_of(recipe, "END_OF_RECIPE"), "recipe": recipe, "settings": settings, **numbers})
    return "".join(parts)


def end_of(text: str, word: str) -> str:
    """A line that the text does not have, for the end of a here-document."""
    end = word
    while end in text.splitlines():
        end += "_"
    return end
