# Works with GNU make 3.81. Everything is installed into .venv; nothing else is touched.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help demo run test check format chaos fuzz bench clean

help:
	@echo "make demo    the whole service on a sample live blog (ARGS=--once ends by itself)"
	@echo "make run     the daemon, from config.toml"
	@echo "make test    the tests"
	@echo "make check   format, lint, types, import contracts"
	@echo "make fuzz    inputs made up for every parser, for a bounded time (ARGS='--seconds 60 --target formats')"
	@echo "make bench   sending beside what people use for it, then polling, the ledger, digests, imports (ARGS='far-away --rounds 5')"
	@echo "make chaos   kill the daemon hundreds of times while it mails (takes long)"

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found."; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; $(PYTHON) is older. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.checked: $(VENV)/.tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/alerts demo $(ARGS)

run: $(VENV)/.installed
	@$(BIN)/alerts run $(ARGS)

test: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

check: $(VENV)/.checked
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.checked
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: $(VENV)/.tested
	PYTHONPATH=tests $(BIN)/python -m chaos $(ARGS)

$(VENV)/.fuzzed: $(VENV)/.tested
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary atheris -c constraints.txt -e '.[test,fuzz]' || echo "atheris has no wheel for this machine."
	@touch $@

fuzz: $(VENV)/.fuzzed
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

bench: $(VENV)/.tested
	@PYTHONPATH=tests $(BIN)/python -m bench.sending $(ARGS)
	@PYTHONPATH=tests $(BIN)/python bench/feeds.py --feeds 100 --seconds 10
	@PYTHONPATH=tests $(BIN)/python bench/ledger.py --readers 5000
	@PYTHONPATH=tests $(BIN)/python -m bench.digests --readers 5000
	@PYTHONPATH=tests $(BIN)/python bench/imports.py --lines 10000

clean:
	rm -rf $(VENV) build dist
