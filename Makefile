# make demo   install, then run the main job on the embedded phantom archive
# make test   install, then run the linters and the tests
# make docs   install, then write the documentation site into site/
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
# Processes that share the tests, whole files at a time; three on two cores, since many tests wait.
# Tests talk to real servers, browsers and killed processes: one that fails is tried once more, and
# the summary says so.
WORKERS ?= 3
# Debian packages that the tests talk to; without them those tests say so and skip. PEERS= for none.
PEERS  ?= orthanc orthanc-dicomweb dcmtk dicom3tools postgresql chromium chromium-driver nginx

.PHONY: demo test lint docs coverage clean

demo: $(VENV)/installed
	$(BIN)/monai-cxr demo --out $(DEMO)

test: $(VENV)/installed-dev $(VENV)/peers lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --reruns 2 --cov --cov-report=term:skip-covered --cov-fail-under=90

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "Written: site/index.html (with its search: python3 -m http.server --directory site)"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[viewer]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Only as root (a container, a build server), and never a reason to fail. RUNLEVEL=1: start no service.
$(VENV)/peers: $(VENV)/installed
	@if [ -z "$(PEERS)" ] || dpkg -s $(PEERS) >/dev/null 2>&1; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "Installing peers for the tests: $(PEERS)"; \
		export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
		apt="apt-get -qq -o DPkg::Lock::Timeout=120"; \
		if { $$apt update && $$apt install -y --no-install-recommends $(PEERS); } \
			>$(VENV)/peers.log 2>&1; then touch $@; \
		else echo "Not all could be installed (see $(VENV)/peers.log); their tests will skip."; fi; \
	else echo "Tests with real peers will skip; they need: apt-get install $(PEERS)"; fi

clean:
	rm -rf $(VENV) $(DEMO) build dist site
