# The main job is `make train export validate`; `make` alone lists the targets.

PYTHON   ?= python3
EXTRA    ?= cpu# gpu installs onnxruntime-gpu in place of onnxruntime
MODELS   ?=
PROVIDER ?=
OPTIONS  ?=
WORKERS  ?= auto# processes of the tests: as many as there are processors

BIN       := .venv/bin
INSTALLED := .venv/.installed-$(EXTRA)
TESTED    := .venv/.installed-$(EXTRA)-test
TESTING   := $(EXTRA),test# a comma would end an argument of call

PIP       := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

# A command, with a dot every two seconds while it runs, so that one sees that it goes on. The dots
# end with the shell, also if that is killed.
with_dots = (while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf .; done) & dots=$$!; \
            trap 'kill $$dots; exit 130' INT TERM; \
            $(1); status=$$?; kill $$dots; echo; exit $$status

.DEFAULT_GOAL := help
.PHONY: help install train export validate test torture lint tables clean tools
.NOTPARALLEL:

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12
	@echo
	@echo 'MODELS="sine-lstm char-gru" narrows train, export and validate; PROVIDER=cuda asks'
	@echo 'validate for a provider; OPTIONS="--epochs 1" goes to the command; EXTRA=gpu installs'
	@echo 'ONNX Runtime for CUDA.'

install: $(INSTALLED) ## Make .venv and install the pipeline

train: $(INSTALLED) ## Train the presets, or MODELS
	$(BIN)/pipeline train $(MODELS) $(OPTIONS)

export: $(INSTALLED) ## Export checkpoints to TorchScript and ONNX
	$(BIN)/pipeline export $(MODELS) $(OPTIONS)

validate: $(INSTALLED) ## Prove that every runtime gives PyTorch's numbers
	$(BIN)/pipeline validate $(MODELS) $(addprefix --provider ,$(PROVIDER)) $(OPTIONS)

test: $(TESTED) tools ## Install what the tests need, and run them
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(OPTIONS)

torture: $(TESTED) tools ## Count what the pipeline survives: flips, strangers, kills, full disks
	PYTHONPATH=tests $(BIN)/python -m torture $(OPTIONS)

lint: $(TESTED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd pipeline/embed/python/client && $(CURDIR)/$(BIN)/mypy --cache-dir $(CURDIR)/.mypy_cache --strict --explicit-package-bases *.py
	clang-format --dry-run --Werror $(wildcard pipeline/embed/*/client/*.[ch] pipeline/embed/*/client/*pp pipeline/embed/*/programs/*.[ch] pipeline/embed/*/programs/*pp pipeline/benchmark/programs/*)
	cd pipeline/embed && npx --yes @biomejs/biome@2.6.8 check .

tables: $(INSTALLED) ## Make the tables of the README files anew
	$(BIN)/python -m pipeline.report.readme $(shell git ls-files '*README.md')

clean: ## Remove .venv, checkpoints, bundles and the report
	rm -rf .venv checkpoints $(wildcard exported/*/) exported/report.html

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'Installing into .venv, about a minute and a half'
	@rm -f .venv/.installed-*
	@$(BIN)/python -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu 2>/dev/null
	@$(call with_dots,$(PIP) '.[$(EXTRA)]')
	@touch $@
	@echo 'Installed: $(BIN)/pipeline --help lists the commands'

$(TESTED): $(INSTALLED)
	@echo 'Installing what the tests need'
	@$(call with_dots,$(PIP) '.[$(TESTING)]')
	@touch $@

# What the tests need besides all that the embedded clients say they need, as program:package of
# Debian. Where something cannot be installed, the tests say what is missing.
PROGRAMS := clang-format:clang-format rustc:rustc nm:binutils qemu-system-arm:qemu-system-arm \
            qemu-x86_64:qemu-user firefox-esr:firefox-esr valgrind:valgrind \
            arm-none-eabi-gcc:gcc-arm-none-eabi \
            aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu,libc6-dev-arm64-cross

tools: $(TESTED)
	@missing="$$($(BIN)/python -c 'from pipeline.embed.targets import *; print(*missing_packages())')"; \
	for pair in $(PROGRAMS); do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	missing="$$(echo $$missing | tr , ' ')"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing $$missing"; \
	  (apt-get update && apt-get install --yes --no-install-recommends $$missing) >/dev/null || true; \
	fi
