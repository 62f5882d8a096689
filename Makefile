PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check attack coverage faults fuzz mutation soak proof simulation e2e-trainers interruptions containers systemd metrics e2e-machine report-shot e2e-vm packer lock audit large bench bench-smoke clean

demo: $(VENV)/.installed  ## a training is launched, its machine lost, and nothing else
	@$(BIN)/runctl-demo

test: $(VENV)/.installed  ## everything but the real trainers and the large files, in parallel
	@$(BIN)/python -m compileall -q agent controller simulator tests  # once, and not by each of a thousand processes
	$(BIN)/pytest --ignore=tests/e2e/trainers --ignore=tests/bench --ignore=tests/large \
		--ignore=tests/interruptions --ignore=tests/containers --ignore=tests/metrics --ignore=tests/packer/machine --ignore=tests/systemd \
		--ignore=tests/vm --ignore=tests/machine --ignore=tests/browser --ignore=tests/attack --ignore=tests/proof

check: $(VENV)/.installed  ## ruff, format, mypy strict on code and tests, the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

simulation: $(VENV)/.installed  ## ten thousand schedules of faults, and every deliberate bug found: about ten minutes on two cores
	$(BIN)/python -m tests.simulation.sweep 10000
	$(BIN)/python -m tests.simulation.mutants

proof: simulation attack faults soak  ## all that takes longer than make test; needs root

e2e-trainers: $(VENV)/.trainers  ## torch, transformers, Lightning and DCP train on the CPU, and resume
	$(BIN)/pytest -n 2 -rP --show-capture=stdout tests/e2e/trainers

interruptions: $(VENV)/.installed  ## twenty machines taken away or lost, nobody watching: the weights are the same
	$(BIN)/pytest -n 0 tests/interruptions

containers: $(VENV)/.installed  ## training.image and docker build by the real docker client, before podman; needs root, and brings podman by apt-get
	$(BIN)/pytest -n 0 tests/containers

systemd: $(VENV)/.installed  ## the agent's unit and the training's under a real systemd; needs root, and brings nspawn and debootstrap by apt-get
	$(BIN)/pytest -n 0 --timeout=1200 tests/systemd

faults: $(VENV)/.installed  ## each fault by real processes, before a server of its own; a quarter of an hour; needs root and iptables, and brings libfaketime by apt-get
	$(BIN)/pytest -n 2 --timeout=1200 -rP --show-capture=stdout tests/proof

soak: $(VENV)/.installed  ## an hour of faults at random: nothing lost, and memory, descriptors and threads flat; needs root and iptables
	$(BIN)/python -m tests.proof.soak

attack: $(VENV)/.installed  ## a training's user against root's agent; needs root
	$(BIN)/pytest -n 2 tests/attack

fuzz: $(VENV)/.fuzz  ## every reader of bytes that others write, ten minutes each by atheris: three hours on two cores
	$(BIN)/python -m tests.fuzz.run --seconds 600

coverage: $(VENV)/.installed  ## branches of the pure core that its tests take: 95 of 100 at least
	$(BIN)/python -m pytest -n 2 -p tests.mutation.fewer --cov --cov-report=term @tests/core.txt

mutation: $(VENV)/.mutation  ## every small change of settle, state, deadline, contract and commit, and which no test notices; hours
	$(BIN)/python -m tests.mutation

metrics: $(VENV)/.installed  ## the metrics and the alert rules by promtool and node_exporter: those in the PATH, or Debian's, unpacked
	$(BIN)/pytest -n 0 tests/metrics

e2e-machine: $(VENV)/.installed  ## a machine that systemd boots, by install.sh and cloud-init: each fault, and what became of it; needs root, and brings nspawn by apt-get
	$(BIN)/pytest -n 2 --timeout=900 -rP --show-capture=stdout tests/machine

report-shot: $(VENV)/.installed  ## runctl report in Debian's Chromium, light and dark: the pictures lie in build/report
	RUNCTL_SHOTS=build/report $(BIN)/pytest -n 0 tests/browser

e2e-vm: $(VENV)/.installed  ## one machine under qemu: cloud-init, cgroup v2, the power button; needs root, and brings qemu by apt-get
	$(BIN)/pytest -n 0 --timeout=2400 tests/vm

packer: $(VENV)/.installed  ## install.sh inside a booted machine, an image by Packer 1.6.6 and moto; needs root, and brings packer and nspawn by apt-get
	$(BIN)/pytest -n 0 --timeout=1200 tests/packer/machine

lock: $(VENV)/.installed  ## packer/requirements.lock anew: the newest versions that pyproject.toml allows
	sed -i '/^[^#]/,$$d' packer/requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --extra gpu --extra compress \
		pyproject.toml >> packer/requirements.lock

audit: $(VENV)/.installed  ## PyPI's advisories on what packer/requirements.lock names; a version that can't be asked about fails it, too
	$(BIN)/uv tool run -q 'pip-audit>=2.9' --strict --disable-pip --require-hashes --progress-spinner off -r packer/requirements.lock

large: $(VENV)/.installed  ## files of 6 GiB, sparse and random, to S3 and back; needs 30 GB of room
	$(BIN)/pytest -n 0 -rP --show-capture=stdout tests/large

bench: $(VENV)/.bench  ## what it costs, against the clients that people use; the figures go to bench/RESULTS.md
	$(BIN)/python -m bench

bench-smoke: $(VENV)/.bench  ## every benchmark as small as can be, so that none of them rots
	$(BIN)/pytest -n 2 tests/bench

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
		{ echo "runctl needs Python 3.11.4 or newer, $(PYTHON) is $$($(PYTHON) -V): make PYTHON=python3.12 test" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || \
		{ echo "$(PYTHON) has no venv: install it (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[dev,demo]'
	touch $@

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[dev,demo,bench]'
	touch $@

$(VENV)/.fuzz: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[dev,demo,fuzz]'
	touch $@

$(VENV)/.mutation: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[dev,demo,mutation]'
	touch $@

$(VENV)/.trainers: tests/e2e/trainers/requirements.txt $(VENV)/.installed
	$(BIN)/python -m pip install -q -r tests/e2e/trainers/requirements.txt
	touch $@
