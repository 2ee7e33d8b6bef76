# The two commands to know: `make demo` and `make test`. Both set themselves up.
PY := .venv/bin/python
COLLECTION := build/collections/ansible_collections/hotswap/bluegreen
# What reads our metrics, run by tests/scenarios/test_monitoring.py, an application server's language (tests/drivers/test_reload.py),
# and the browser that reads our pages
# (tests/matrix: other versions of ansible-core and Python, in build/matrix and a cache of our own; tests/examples: ssh's tools, and Node with npm where no other is there)
TESTED := tools/apt.sh prometheus prometheus-node-exporter php-cli openssh-client curl $$(command -v npm >/dev/null || echo nodejs npm) && $(PY) -m tools.browser && $(PY) -m tools.matrix --setup
# The runtimes and servers of those of tests/examples that take longer
FULL := tools/apt.sh openssh-server puma ruby-rails ruby-sqlite3

.PHONY: help setup demo test test-full test-chaos test-matrix lint specs docs bench clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile

setup: ## Install what is missing: nginx with apt, a virtual environment in .venv
	@tools/setup.sh python3-venv nginx

demo: setup ## A release under load, and a broken one rolled back (about two minutes)
	@$(PY) -m demo

test: setup ## Every check: lint, types, unit tests, drivers on real nginx and supervisord, demo
	@$(TESTED)
	@$(PY) -m tools.check

test-full: setup ## The counts: many swaps under load, many simulated fleets
	@$(TESTED)
	@$(FULL)
	@$(PY) -m tools.check --full

test-matrix: setup ## Every scenario with every supported pair of ansible-core and Python (hours); MATRIX="2.16-py3.11 --quick" for less
	@$(TESTED)
	@$(PY) -m tools.matrix $(MATRIX)

test-chaos: setup ## Thirty releases on real hosts under load, each hit by a fault that is drawn from a seed (under twenty minutes)
	@$(PY) -m tests.chaos

test-engines: setup ## Releases on a real Docker Swarm of several nodes and on a real Kubernetes (its first build takes four minutes)
	@$(PY) -m tools.check --engines

lint: setup ## Only the linters
	@$(PY) -m tools.check --lint

specs: setup ## Make argument specs and tables from roles/release/meta/argument_specs.yml
	@$(PY) tools/variables.py

docs: setup ## Build the documentation as a site, offline: build/site/index.html
	@$(PY) -m tools.site

bench: ## A swap's own time beside a stock playbook and a bare script
	@tools/setup.sh python3-venv nginx supervisor openssh-server
	@$(PY) -m bench

clean: ## Remove what was made here
	rm -rf build .venv demo/out bench/out
