# Local Kubernetes cluster. The project's Makefile includes this; PYTHON is a Python with the `operator` and `dev` extras.
PYTHON ?= .venv/bin/python

.PHONY: cluster cluster-down cluster-status

cluster: ## start a local Kubernetes cluster (kind where Docker is, else local processes; minutes the first time)
	@$(PYTHON) -m tests.harness up

cluster-down: ## remove the local cluster
	@$(PYTHON) -m tests.harness down

cluster-status: ## what runs in the local cluster
	@$(PYTHON) -m tests.harness status
