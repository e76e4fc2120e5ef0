# Everything a newcomer needs. `make help` lists the targets.

PYTHON ?= python3
VERSIONS := 3.11 3.12 3.13
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test versions torture check format bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

demo: $(STAMP) ## build the index of config.yaml over data/handbook and ask four questions
	$(BIN)/pipeline build || test $$? -eq 4
	$(BIN)/pipeline query "how do I roll back a bad build?" -k 3
	$(BIN)/pipeline query "한국어 문서는 어떻게 토큰으로 나누나요?" -k 3
	$(BIN)/pipeline query "평가 질문이 마흔 개뿐이면 어느 정도 차이까지 믿을 수 있나요?" -k 2 --filter "lang = 'en'" --show lang
	$(BIN)/pipeline query "what does RRF do when one leg is bad" -k 3 --show lang --show tags

test: $(STAMP) ## run the whole test suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --ignore tests/faults
	$(BIN)/python -m pytest tests/faults

versions: ## check, demo and test under every supported Python, each in a .venv-3.N of its own
	@for version in $(VERSIONS); do \
		python$$version --version || { echo "python$$version does not run: install it, or name those to try by VERSIONS=" >&2; exit 1; }; \
	done
	@for version in $(VERSIONS); do \
		rm -rf indexes/handbook; \
		$(MAKE) PYTHON=python$$version VENV=.venv-$$version check demo test || exit 1; \
	done

torture: $(STAMP) ## the fault tests in full: every call, a thousand kills (an hour)
	PIPELINE_TORTURE=1 $(BIN)/python -m pytest tests/faults

check: $(STAMP) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## run the benchmarks (minutes)
	$(BIN)/python bench/cold_start.py
	$(BIN)/python bench/encode.py
	$(BIN)/python bench/memory.py
	$(BIN)/python bench/search.py

clean: ## remove the environment and built indexes
	rm -rf $(VENV) .venv-* indexes/*/ .mypy_cache .ruff_cache .hypothesis build *.egg-info
