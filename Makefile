# Bare `make` lists the targets. Each does its own set-up on a machine with make, Node >= 20, Go >= 1.26 and Python >= 3.9 (3.10 for `test` and `contract`).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
NODE_STAMP := node_modules/.kube-sg-installed

.PHONY: help
help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: demo
demo: setup ## the whole product on an embedded cluster and EC2, told step by step
	@node demo/main.ts

.PHONY: test
test: setup ## typecheck, lint, and every test; the last line is `N passed, N failed`
	@scripts/require-tools 3.10
	@$(MAKE) --no-print-directory lint
	@node bed/main.ts programs
	@node scripts/test.ts

.PHONY: soak
soak: setup ## hours of what `make test` does for minutes: histories, hostile input, killed leaders (each with a new seed, which it prints)
	@scripts/require-tools 3.10
	@node bed/main.ts programs
	@HISTORIES=$${HISTORIES:-1000000} node scripts/test.ts --timeout=86400 worker/history.test.ts
	@FUZZ_STRINGS=$${FUZZ_STRINGS:-1000000} FUZZ_REVIEWS=$${FUZZ_REVIEWS:-100000} IDLE_SECONDS=$${IDLE_SECONDS:-95} \
		node scripts/test.ts --timeout=86400 webhook/fuzz.test.ts webhook/hostile.test.ts
	@ANNOTATIONS=$${ANNOTATIONS:-100000} node scripts/test.ts --timeout=86400 test/cluster/backstopGrammar.test.ts
	@KILLS=$${KILLS:-100} node scripts/test.ts --timeout=86400 test/cluster/churn.test.ts

.PHONY: up
up: setup ## start bed and product in the background and print what to try (BED=name for another)
	@node bed/main.ts up

.PHONY: down
down: setup ## end all that `make up` started
	@node bed/main.ts down

.PHONY: contract
contract: setup ## what is relied on of EC2: every case on the simulator and on moto
	@node test/contract/main.ts

.PHONY: contract-accept
contract-accept: setup
	@node test/contract/main.ts accept

.PHONY: contract-aws
contract-aws: setup ## the same on a real account (credentials, AWS_REGION, VPC_ID; docs/ec2.md)
	@node test/contract/main.ts aws

.PHONY: bench
bench: setup ## measure, and print a table of counts and ratios
	@node bench/main.ts

.PHONY: lint
lint: setup ## typecheck, ESLint and prettier
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target eslint typecheck format

.PHONY: eslint typecheck format
eslint:
	@eslint .
typecheck:
	@tsc --noEmit
format:
	@prettier --check --log-level warn .

.PHONY: clean
clean: ## remove what was built here (not the programs in your cache folder)
	@for bed in .run/*/; do test ! -e "$$bed/bed.json" || BED=$$(basename "$$bed") node bed/main.ts down || true; done
	@rm -rf dist .run .tap node_modules

.PHONY: setup
setup: $(NODE_STAMP)

$(NODE_STAMP): package.json package-lock.json scripts/require-tools
	@scripts/require-tools
	@echo 'installing packages (npm ci) ...'
	@npm ci --no-audit --no-fund --loglevel=error
	@test "$$(node -v | cut -d. -f1)" = v24 || { echo "node_modules/.bin/node is $$(node -v), not 24: is this Linux on x64 or arm64?" >&2; exit 1; }
	@tap build >/dev/null
	@touch $@
