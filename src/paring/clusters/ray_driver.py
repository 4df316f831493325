"""A job as a driver for Ray, which places one actor a node."""

from paring.clusters.cluster_job import ClusterJob
from paring.clusters.node_script import node_script

DRIVER = '''\
"""Start it by:  ray job submit --working-dir . -- python {name}.ray.py   Started again, the run goes on."""

import os
import secrets
import subprocess
import sys

import ray
from ray.util import get_node_ip_address, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

NODES, GPUS, CPUS = {nodes}, {gpus}, {cpus}
# The node's standard input stays open as long as its actor lives, so that nothing outlives the job.
WATCH = """exec 3<&0
(cat <&3 > /dev/null; kill -TERM $$) &
"""
SCRIPT = {script}


@ray.remote(max_restarts=0)
class Node:
    def address(self):
        return get_node_ip_address()

    def work(self, words):
        return subprocess.Popen(["bash", "-c", WATCH + SCRIPT], stdin=subprocess.PIPE, env=os.environ | words).wait()


ray.init()
group = placement_group([{{"CPU": CPUS, "GPU": GPUS}}] * NODES, strategy="STRICT_SPREAD")
ray.get(group.ready())
nodes = [
    Node.options(
        num_cpus=CPUS,
        num_gpus=GPUS,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
    ).remote()
    for rank in range(NODES)
]
hosts = " ".join(ray.get([node.address.remote() for node in nodes]))
key = os.environ.get("VLLM_API_KEY") or secrets.token_hex(16)
shared = {{"HOSTS": hosts, "JOB": secrets.token_hex(8), "VLLM_API_KEY": key}}
codes = ray.get([node.work.remote(shared | {{"NODE": str(rank)}}) for rank, node in enumerate(nodes)])
sys.exit(max(map(abs, codes)))
'''


def ray_driver(job: ClusterJob) -> str:
    """For `ray job submit`. Without VLLM_API_KEY in its environment, the driver makes a key of its own.

    Raises ValueError for an image: a cluster of Ray has its own."""
    if job.image is not None:
        raise ValueError("--image: the nodes of a Ray cluster have their image already; leave it out")
    sizes = {"nodes": job.nodes, "gpus": job.gpus, "cpus": job.cpus or 1}
    return DRIVER.format(name=job.name, script=repr(node_script(job)), **sizes)
