# Everything a developer or a newcomer types. `sudo make demo` and `sudo make test` do all the set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules
export DEBIAN_FRONTEND := noninteractive

VENV := .venv
BIN := $(VENV)/bin
OBJECTS := src/lasthop/dataplane/objects
ARGS ?=
# One process per processor and one more (tests/conftest.py); a module's tests in one process, in the order of the files.
PARALLEL := --numprocesses=auto --dist=loadfile --no-loadscope-reorder

# Debian's names. libbpf comes with iproute2; the rest is what the lab's boxes, the tests and the bench run.
PACKAGES := python3-venv iproute2 nftables conntrack curl tcpdump ethtool util-linux procps \
	libfaketime
BENCH_PACKAGES := iperf3 wrk
KERNEL_PACKAGES := qemu-system-x86 kmod cpio
DEB_PACKAGES := mmdebstrap lintian

# Empty when dpkg has all of $(1), else the missing ones.
missing = $(shell for name in $(1); do \
	dpkg-query --show --showformat='$${Status}' $$name 2>/dev/null | grep -q '^install ok installed$$' \
	|| echo $$name; done)

C_SOURCES = $(wildcard bpf/*.c bpf/*.h tests/packet/*.bpf.c bench/*.bpf.c)
PROGRAMS := $(patsubst bpf/%.bpf.c,$(OBJECTS)/%.bpf.o,$(wildcard bpf/*.bpf.c))

.PHONY: help demo test soak faults check bench man completions deb lab-shell docs clean objects root packages \
	bench-packages kernel-packages bpffs test-deb deb-packages

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  ARGS="..." hands options on: sudo make demo ARGS="--one-box"; sudo make test ARGS="-k symmetry"'

demo: root packages $(VENV)/installed bpffs objects ## (root) the sandwich at work: real traffic through four firewalls
	@$(BIN)/lasthop demo $(ARGS)

test: root packages $(VENV)/installed bpffs objects ## (root) all tests
	@$(BIN)/pytest $(PARALLEL) $(ARGS)

soak: root packages $(VENV)/installed bpffs objects ## (root) random frames through data plane and model, 10 minutes; ARGS="--minutes 30"
	@PYTHONPATH=. $(BIN)/python -m tests.packet.soak $(ARGS)

faults: root packages $(VENV)/installed bpffs objects ## (root) faults under live load, each as often as it shall be: minutes
	@LASTHOP_FAULTS=full $(BIN)/pytest $(PARALLEL) tests/faults $(ARGS)

test-kernels: root packages kernel-packages $(VENV)/installed objects ## (root) tests under Debian's own Linux 6.1, in a virtual machine
	@$(BIN)/python -m tests.kernels.run --packages '$(PACKAGES)' $(ARGS)

test-deb: root deb-packages $(VENV)/installed objects ## (root) the Debian package on a clean Debian that boots systemd
	@LASTHOP_TEST_DEB=1 $(BIN)/pytest -n 0 tests/packages $(ARGS)

# Each tool runs, whatever the others said; one line per tool, and the messages of those that object.
define CHECKS
failed=0
step() {
	local name=$$1 said; shift
	if said=$$("$$@" 2>&1); then echo "$$name: ok"; else echo "$$said"; echo "$$name: FAILED"; failed=1; fi
}
step 'ruff check' ruff check --quiet
step 'ruff format' ruff format --quiet --check
step 'mypy --strict' mypy
step 'import contracts' lint-imports --no-logo
step 'clang-format' clang-format --dry-run -Werror $(C_SOURCES)
step 'BPF build without warnings' python bpf/build.py --into build/check
exit $$failed
endef
export CHECKS

check: $(VENV)/installed ## what can be said without running anything: style, types, layers, C warnings
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash -uc "$$CHECKS"

bench: root packages bench-packages $(VENV)/installed bpffs objects ## (root) ratios beside their baselines; JSON in build/bench.json
	@$(BIN)/python bench/run.py $(ARGS)

lab-shell: root packages $(VENV)/installed bpffs objects ## (root) a shell inside the demo's topology
	@$(BIN)/lasthop lab-shell $(ARGS)

docs: $(VENV)/installed ## check the documents: links lead somewhere, words are the glossary's
	@$(BIN)/pytest -q tests/architecture/test_documents.py $(ARGS)

man: $(VENV)/installed ## the man pages, in build/man
	@$(BIN)/python -m distribution.man build/man

completions: $(VENV)/installed ## what bash, zsh and fish complete by, in build/completions
	@$(BIN)/python -m distribution.completions build/completions

deb: $(VENV)/installed objects ## the Debian package for this release, in build/deb
	@$(BIN)/python -m distribution.deb build/deb

clean: ## remove what was built; the next target sets up again
	@rm -rf $(VENV) build dist $(OBJECTS)/*.o .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# --- set-up ---------------------------------------------------------------------------------------------------------

root:
	$(if $(filter 0,$(shell id -u)),,$(error network namespaces and BPF need root: sudo make $(MAKECMDGOALS)))

packages:
	$(call install,$(call missing,$(PACKAGES)))

bench-packages:
	$(call install,$(call missing,$(BENCH_PACKAGES)))

kernel-packages:
	$(call install,$(call missing,$(KERNEL_PACKAGES)))

deb-packages:
	$(call install,$(call missing,$(DEB_PACKAGES)))

define install
$(if $(1),@command -v apt-get >/dev/null || { echo 'install with your package manager: $(strip $(1))' >&2; exit 1; }
	@echo 'installing Debian packages: $(strip $(1))'
	@log=$$(mktemp); { apt-get update && apt-get install --yes --no-install-recommends $(1); } >"$$log" 2>&1 </dev/null \
		|| { cat "$$log" >&2; exit 1; }; rm "$$log")
endef

$(VENV)/installed: pyproject.toml hatch_build.py | $(if $(filter 0,$(shell id -u)),packages)
	@[ -x /usr/bin/python3 ] && /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
		2>/dev/null || { echo "no Python >= 3.11 with venv in /usr/bin: run 'sudo make test' once" >&2; exit 1; }
	@echo 'installing lasthop and its tools from PyPI into $(VENV)'
	@/usr/bin/python3 -m venv $(VENV)
	@PIP_ROOT_USER_ACTION=ignore $(BIN)/pip install --quiet --quiet --disable-pip-version-check --editable '.[test]'
	@[ -z "$${SUDO_UID:-}" ] || chown -R "$$SUDO_UID:$$SUDO_GID" $(VENV)
	@touch $@

bpffs:
	@mountpoint -q /sys/fs/bpf || { echo 'mounting the BPF file system on /sys/fs/bpf'; mount -t bpf bpf /sys/fs/bpf; }

objects: $(PROGRAMS)

$(OBJECTS)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) bpf/build.py | $(VENV)/installed
	@echo 'building $@'
	@$(BIN)/python bpf/build.py --into $(OBJECTS) $<
