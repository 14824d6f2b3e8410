# Every target sets up what it needs by itself in .venv: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: zoo demo test check docs bench lock clean help

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

demo: $(READY)  ## Train two small generators in front of your eyes and report how entangled Z and W are
	$(BIN)/latentlab demo

test: $(READY)  ## Run the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile

check: $(READY)  ## Formatting, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## Build the documentation as a site, site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

zoo: $(READY)  ## Train the bundled networks again, by the same recipe: hours
	$(BIN)/latentlab study --table 4 --recipe latentlab/zoo/recipe.toml --executor ray --out study/zoo
	$(BIN)/python -m latentlab.study.bundling study/zoo

bench: $(READY)  ## Measure speeds, each beside a peer
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

lock: $(READY)  ## Pin the newest allowed versions of everything, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	    --group dev pyproject.toml -o requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

clean:  ## Remove the environment and caches
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
