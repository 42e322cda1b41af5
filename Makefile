# Ringfence. `make demo` and `make test` set up what they need; `make setup` alone does only that.

MAKEFLAGS += --no-print-directory --no-builtin-rules
.SILENT:
.DELETE_ON_ERROR:
.PHONY: setup test-setup demo test check format generate bench bench-events prove fuzz clean help

VENV := .venv
PYTHON := $(VENV)/bin/python
OBJECT := src/ringfence/datapath/policy.bpf.o
C_SOURCES := $(wildcard bpf/*.c bpf/*.h)
C_TESTS := $(wildcard tests/kernel/*.c tests/bpf/*.c)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

help:
	echo "make setup | demo | test | check | format | generate | bench | bench-events | prove | fuzz | clean"

setup: $(VENV)/.installed $(OBJECT)

# Debian packages, installed only where they are missing:
#   python3-venv  makes .venv (Debian splits it from python3)
#   libbpf1       libbpf.so.1, which loads the BPF object
$(VENV)/.installed: pyproject.toml hatch_build.py
	tools/debian-packages python3-venv libbpf1
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet -e '.[agent,flows,hubble,top,dev]'
	touch $@

# Debian packages that only the tests need:
#   bpftool       the maps as people read them
#   nftables      filter rules in their own namespaces
#   tmux          keys pressed in a real terminal
#   chromium      the web page as a browser has it
test-setup: setup $(VENV)/bin/promtool
	tools/debian-packages bpftool nftables tmux chromium nginx iperf3

# What checks metrics and alert rules, out of the package that has Prometheus itself.
$(VENV)/bin/promtool: | $(VENV)/.installed
	tools/debian-program prometheus usr/bin/promtool $(VENV)/bin

$(OBJECT): $(C_SOURCES) tools/compile_bpf.py | $(VENV)/.installed
	$(PYTHON) tools/compile_bpf.py

demo: setup
	$(VENV)/bin/ringfence demo

test: test-setup
	$(PYTHON) -m pytest

check: setup
	$(PYTHON) -m ruff check --quiet
	$(PYTHON) -m ruff format --quiet --check
	$(PYTHON) -m mypy --strict --no-error-summary
	$(VENV)/bin/lint-imports --no-logo > .import_linter.out 2>&1 || { cat .import_linter.out; exit 1; }
	$(VENV)/bin/clang-format --dry-run -Werror $(C_SOURCES) $(C_TESTS)
	$(PYTHON) -m tools.generate_abi --check
	$(PYTHON) -m tools.generate_hubble --check
	$(PYTHON) -m tools.generate_policy_docs --check
	$(PYTHON) -m tools.generate_metrics_docs --check

format: setup
	$(PYTHON) -m ruff check --quiet --fix-only
	$(PYTHON) -m ruff format --quiet
	$(VENV)/bin/clang-format -i $(C_SOURCES) $(C_TESTS)

generate: setup
	$(PYTHON) -m tools.generate_abi
	$(PYTHON) -m tools.generate_hubble
	$(PYTHON) -m tools.generate_policy_docs
	$(PYTHON) -m tools.generate_metrics_docs

# Debian packages for the comparison: iperf3 sends, iptables is what others use.
bench: setup
	tools/debian-packages iperf3 iptables nftables
	$(PYTHON) -m benchmarks
	$(PYTHON) -m benchmarks.services
	$(PYTHON) -m benchmarks.policy_compile
	$(PYTHON) -m benchmarks.explain
	$(PYTHON) -m benchmarks.policy_changes

# Debian packages for the comparison: a consumer in C by libbpf's own headers.
bench-events: setup
	tools/debian-packages gcc libc6-dev libbpf-dev
	$(PYTHON) -m benchmarks.history
	$(PYTHON) -m benchmarks.dashboard
	$(PYTHON) -m benchmarks.hubble
	$(PYTHON) -m benchmarks.events

# Without end, until stopped; a counterexample becomes a spec file.
prove: setup
	$(PYTHON) -m tests.generated.prove

# Some minutes of mutated packets with a new seed; a failure names it, and the packet goes into tests/bpf/corpus.
fuzz: setup
	FUZZ_PACKETS=200000 FUZZ_SEED=$$(date +%s) $(PYTHON) -m pytest tests/bpf/test_fuzz.py tests/bpf/test_fuzz_translation.py

clean:
	rm -rf $(VENV) build dist $(OBJECT) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .import_linter.out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
