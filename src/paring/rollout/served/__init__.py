"""Rollouts and evaluation by inference servers: vLLM's API over HTTP (docs/serving.md)."""
