# The few commands of this project. Each sets up what it needs first (scripts/setup says nothing when that is done),
# works in any folder, and pays no attention to an environment that happens to be active.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

# Relative on purpose: make takes a path with a space in it for two.
BIN := .venv/bin
PYTHON := $(BIN)/python

# Goes to the command below a target: make test ARGS="-k custody -x"
ARGS ?=

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Show the main job on an example pool that is in use (needs nothing but Python)
	@scripts/setup run
	@$(BIN)/xenios demo $(ARGS)

.PHONY: test
test: ## Run all tests; ARGS="-k name" for some (installs system packages where it may)
	@scripts/setup test
	@$(PYTHON) -m pytest $(ARGS)

.PHONY: check
check: ## Everything a machine can say about the code without running it
	@scripts/setup test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTHON) -m mypy
	$(BIN)/lint-imports --no-logo
	$(PYTHON) -m scripts.generate_docs --check

.PHONY: format
format: ## Lay the code out and repair what can be repaired safely
	@scripts/setup test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: ## Write the generated pages of docs/ anew
	@scripts/setup test
	$(PYTHON) -m scripts.generate_docs

.PHONY: bench
bench: ## Run the benchmarks, one after the other
	@scripts/setup test
	@for file in benchmarks/bench_*.py; do echo "== $$file"; \
		$(PYTHON) -m "benchmarks.$$(basename "$$file" .py)" $(ARGS) || exit; done

# No header and no index address: the files say what is installed, not where it came from.
COMPILE := pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links

.PHONY: lock
lock: ## Write requirements/ anew from pyproject.toml; ARGS=--upgrade for newer versions
	@uv="$$(scripts/setup uv)" && set -x && \
	"$$uv" $(COMPILE) $(ARGS) --group setup --output-file requirements/uv.txt && \
	"$$uv" $(COMPILE) $(ARGS) --group build --extra demo --output-file requirements/run.txt pyproject.toml && \
	"$$uv" $(COMPILE) $(ARGS) --group dev --extra demo --extra kvm --constraint requirements/run.txt \
		--output-file requirements/dev.txt pyproject.toml

.PHONY: clean
clean: ## Remove everything that these commands made
	rm -rf .venv .tools xenios-demo.html dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
