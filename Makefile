# SPDX-License-Identifier: BSD-3-Clause
# Every command does its own set-up in $(VENV) and needs the network the first time only.
PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n 2

# Installed before the extras that want it, which then take no newer one: where a CPU build of this
# very version is at hand as a file, pip prefers it to the index's, with its GPU libraries.
TORCH ?= torch==2.13.0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --no-input --disable-pip-version-check
TOOLS := $(VENV)/.tools-installed
INSTALLED := $(VENV)/.package-installed
HEADERS := $(abspath $(VENV))/headers/usr/include
# Before a command that compiles: where tools/python-headers has put Python's headers, if it had to.
WITH_HEADERS = if [ -d "$(HEADERS)" ]; then export CPLUS_INCLUDE_PATH="$(HEADERS)" \
    SKBUILD_CMAKE_DEFINE="Python_INCLUDE_DIR=$$(echo "$(HEADERS)"/python3*)"; fi;
NATIVE_SOURCES := CMakeLists.txt $(shell find native -type f)
# The C++ that clang-format lays out, as .clang-format says.
CXX_SOURCES = $(shell find native bench tests/hw -name '*.[ch]pp' -o -name '*.c')
# The machine's compiler, not the name of the one that built its Python.
ifeq ($(origin CXX),default)
export CXX := $(shell for c in c++ g++ clang++; do command -v $$c && break; done)
endif
# Warnings stop our own machines, not a user with a newer compiler.
WERROR := $(if $(CI),ON,OFF)

# Real data next to the checkout, unless the environment says where it is.
SHARED_DATA := $(wildcard $(abspath ../shared/data))
ifneq ($(SHARED_DATA),)
export BNN_DATA ?= $(SHARED_DATA)
export BNN_PARAMS ?= $(SHARED_DATA)/bnn-pynq-params
endif
# Files that failed once, and networks of other people with their answers.
SHARED_CASES := $(wildcard $(abspath ../shared/cases))
ifneq ($(SHARED_CASES),)
export BNN_CASES ?= $(SHARED_CASES)
endif
SHARED_ZOO := $(wildcard $(abspath ../shared/zoo))
ifneq ($(SHARED_ZOO),)
export BNN_ZOO ?= $(SHARED_ZOO)
endif

.PHONY: docs docs-translate docs-check notebooks demo test test-oldest test-serve test-wheels wheels test-slow test-train test-hw synth test-native test-cross sanitize faults fuzz mutate differential \
    bench lint format wasm dist-check clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	@$(BIN)/bnn demo

# pytest comes last, so that its summary closes the output.
test: lint test-native
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# What takes minutes: whole test sets on the reference runtime.
test-slow: $(INSTALLED)
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m slow

# The core with the oldest Python, NumPy and Pillow that it supports: those of PYNQ 3.0's image.
test-oldest:
	@PYTEST_ARGS="$(PYTEST_ARGS)" tools/test-oldest

# The server's own lane: clients that others wrote, which no user needs.
test-serve: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[serve,bulk,serve-test]'
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m 'not hw' tests/serve tests/scale

# Training's own lane: PyTorch is large (a GPU's libraries come with it, unless a CPU build is
# installed in $(VENV) first), so the main suite does without and skips these tests by name.
test-train: $(INSTALLED)
	@$(PIP) install $(TORCH)
	@$(PIP) install --no-build-isolation --editable '.[train]'
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/train tests/faults

# The accelerator's slow lanes: many simulated builds, original sets, proofs, synthesis. Each is
# skipped by name where its tool is missing; CXX is the compiler of the simulators.
test-hw: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[hw]'
	$(BIN)/python -m pytest $(PYTEST_ARGS) -m hw

# A small accelerator through Yosys for six families of chips; prints the table of docs/hardware.md.
synth: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[hw]'
	$(BIN)/python -m pytest -q -n 0 -s -m hw tests/hw/test_other_chips.py

# Trainings that are killed at random moments, FAULTS times for each of six kinds, and FAULTS_DISK full
# disks; then resumed and compared with the uninterrupted one. Minutes; full disks need the right to mount.
FAULTS ?= 11
FAULTS_DISK ?= 14
faults: $(INSTALLED)
	FAULTS=$(FAULTS) FAULTS_DISK=$(FAULTS_DISK) $(BIN)/python -m pytest -s -n 0 tests/faults

# Small mistakes, planted one at a time in copies of the tree: prints those that no test finds. FILES are
# files or patterns; N of the mistakes are drawn with SEED (0: all). PLANTED=1: only what once was missed.
FILES ?= src/bnn/hw/rtl/*.sv src/bnn/hw/*.py src/bnn/hw/blocks/*.py src/bnn/driver/*.py
N ?= 100
SEED ?= 1
mutate: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[mutate]'
	$(BIN)/python tools/mutate.py $(if $(PLANTED),--planted,--count $(N) --seed $(SEED) $(foreach f,$(FILES),'$(f)'))

# The site, in English and Japanese, with the page of the browser in it: docs/_build/index.html. Commands in
# the pages are run while it is built, as in a fresh clone: without data sets and parameter sets of this
# machine. Warnings are errors. Nothing is fetched but packages.
AS_FRESH := env -u BNN_DATA -u BNN_PARAMS -u BNN_CASES -u BNN_ZOO
SITE := docs/_build
docs: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[docs,sim]'
	$(BIN)/python tools/draw_figures.py docs/figures
	@rm -rf $(SITE)
	@for language in en ja; do echo "$(BIN)/sphinx-build -D language=$$language"; \
	    PATH="$(abspath $(BIN)):$$PATH" $(AS_FRESH) $(BIN)/sphinx-build -q -W --keep-going -b html -D language=$$language \
	    -d $(SITE)/doctrees-$$language docs $(SITE)/$$language || exit 1; done
	@cp docs/_static/index.html docs/figures/start.svg $(SITE)
	$(BIN)/bnn web --export $(SITE)/page
	@echo "$(SITE)/index.html: the site; any static host can serve the folder $(SITE)"

# After a change of pages that are translated: puts what is new or changed into docs/locale.
docs-translate: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[docs]'
	$(BIN)/python tools/check_translations.py --update

# The pages without running their commands: every paragraph is translated, and nothing in them is wrong.
docs-check: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[docs]'
	$(BIN)/python tools/check_translations.py
	$(BIN)/python tools/check_links.py
	$(BIN)/python tools/draw_figures.py docs/figures
	@for language in en ja; do echo "$(BIN)/sphinx-build -D language=$$language"; \
	    BNN_DOCS_COMMANDS=0 $(BIN)/sphinx-build -q -W --keep-going -b html -D language=$$language \
	    -d $(SITE)/check/doctrees-$$language docs $(SITE)/check/$$language || exit 1; done

# Every notebook from top to bottom, with the simulator; those of training where PyTorch is installed, those on
# data and parameter sets where these are.
notebooks: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[notebooks,sim,convert]'
	$(BIN)/python tools/build_notebooks.py
	$(BIN)/python -m pytest -n 0 -m "slow or not slow" tests/notebooks

# Random programs, RUNS of them, on every kernel set of this machine against the reference.
RUNS ?= 10000
differential: $(INSTALLED)
	$(BIN)/python tools/differential.py --runs $(RUNS) --seed $(SEED)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_SOURCES)
	$(BIN)/python tools/check_columns.py
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python tools/check_rooms.py
	$(BIN)/python tools/check_rtl.py
	$(BIN)/python tools/check_links.py
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then set -x; $(BIN)/mypy; \
	else echo "mypy: skipped, because the numpy of Python 3.10 has older types"; fi

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

test-native: $(TOOLS)
	@$(BIN)/cmake -S . -B build/native-tests -G Ninja \
	    -DCMAKE_MAKE_PROGRAM="$(abspath $(BIN)/ninja)" -DCMAKE_BUILD_TYPE=Release \
	    -DBNN_PYTHON=OFF -DBNN_TESTS=ON -DBNN_WERROR=$(WERROR) >/dev/null
	@$(BIN)/cmake --build build/native-tests -- --quiet
	$(BIN)/ctest --test-dir build/native-tests --output-on-failure --progress

# The same tests under the address and undefined-behaviour sanitizers.
sanitize: $(TOOLS)
	@$(BIN)/cmake -S . -B build/sanitize -G Ninja \
	    -DCMAKE_MAKE_PROGRAM="$(abspath $(BIN)/ninja)" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	    -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all" \
	    -DBNN_PYTHON=OFF -DBNN_TESTS=ON >/dev/null
	@$(BIN)/cmake --build build/sanitize -- --quiet
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --progress

# Coverage-guided fuzzing of every reader of files, and of the native core under sanitizers where
# clang and its libFuzzer are installed (Debian: clang and libclang-rt-*-dev). Corpus and counts stay
# in build/fuzz, so that a second run goes on; failing inputs are kept in build/fuzz/*/failed.
# FUZZ_SECONDS for all together, at least one for each; FUZZ_RUNS of each reader; FUZZ_ONLY=bnn,native
# picks readers; FUZZ_WRITE=docs/reliability.md puts the table there.
FUZZ_SECONDS ?= 240
FUZZ_RUNS ?= 0
FUZZ_ONLY ?=
FUZZ_WRITE ?=
fuzz: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[fuzz]'
	@$(if $(filter-out $(findstring native,$(FUZZ_ONLY)),$(FUZZ_ONLY)),true,tools/fuzz-native $(BIN))
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --runs $(FUZZ_RUNS) --only "$(FUZZ_ONLY)" \
	    --native build/fuzz-native/fuzz_program $(if $(FUZZ_WRITE),--write "$(FUZZ_WRITE)")

# The same tests for ARM and for older x86 under qemu-user, where Debian's cross compilers are installed.
test-cross: $(TOOLS)
	@CMAKE=$(BIN)/cmake tools/cross-test Nehalem
	@CMAKE=$(BIN)/cmake tools/cross-test Haswell
	@CMAKE=$(BIN)/cmake tools/cross-test aarch64
	@CMAKE=$(BIN)/cmake tools/cross-test armv7

# Ours beside the engines that a user would pick instead; writes docs/benchmarks.md. Minutes.
# ISA=native: with all that this CPU has; ISA=avx2: as if it had AVX2 only, for all engines.
ISA ?= native,avx2
bench: $(INSTALLED)
	@$(PIP) install $(TORCH)
	@$(PIP) install --no-build-isolation --editable '.[bench]'
	$(BIN)/python bench/compare.py --isa $(ISA) --write docs/benchmarks.md
	$(BIN)/python bench/limit.py
	$(BIN)/python bench/shapes.py
	$(BIN)/python bench/start.py
	$(BIN)/python bench/frames.py --pictures 0
	$(BIN)/python bench/train_step.py cnv
	$(BIN)/python bench/train_step.py lfc --batch 256

# The core as WebAssembly, for the page of `bnn web`: made again after a change in native/. The files
# are in the tree. Minutes the first time, while the C++ library of that target is compiled.
wasm: $(INSTALLED)
	$(BIN)/python tools/build_wasm.py

# Wheels for x86_64, aarch64 and armv7l and the source archive, into dist; compiled by zig c++, for each
# Python of this machine with its headers. Minutes the first time.
wheels: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[release]'
	$(BIN)/python tools/build_wheels.py

# Those for ARM, run under qemu-user with a Python of that processor (MACHINES="armv7l aarch64"). Needs
# the network the first time, and Debian's qemu-user.
MACHINES ?=
test-wheels: $(INSTALLED)
	$(BIN)/python tools/test_wheels.py $(MACHINES)

# The files of a release: built into dist, and each proved to install and work in a fresh environment
# without a network. Minutes; needs the network once, for the wheels of others.
dist-check: $(INSTALLED)
	@$(PIP) install --no-build-isolation --editable '.[release]'
	@$(WITH_HEADERS) $(BIN)/python tools/check_release.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Editable: Python sources are used in place, so only native/ and pyproject.toml ask for this again.
# Without build isolation the build works offline and keeps its object files.
$(INSTALLED): $(TOOLS) pyproject.toml $(NATIVE_SOURCES)
	@echo "building the package in $(VENV)"
	@$(WITH_HEADERS) \
	$(PIP) install --no-build-isolation --check-build-dependencies --editable '.[test,dev,sim,serve,bulk]'
	@touch $@

# What builds the package, as pyproject.toml says, and cmake and ninja whatever the machine has.
$(TOOLS): tools/build_requires.py pyproject.toml | $(BIN)/python
	@echo "installing the build tools in $(VENV)"
	@$(BIN)/python tools/build_requires.py | xargs $(PIP) install cmake ninja
	@touch $@

$(BIN)/python:
	@tools/check-machine "$(PYTHON)"
	@echo "creating $(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)"
	@tools/python-headers "$(PYTHON)" "$(VENV)/headers"
