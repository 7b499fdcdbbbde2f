# Local Kubernetes cluster; the Makefile includes this and says what VENV and BIN are.
.PHONY: cluster cluster-down cluster-status
cluster: $(VENV)/ready ## A local Kubernetes cluster: kind where Docker is, else processes on this machine
	@$(BIN)/python -m tests.harness up
cluster-down: $(VENV)/ready ## Remove the local cluster
	@$(BIN)/python -m tests.harness down
cluster-status: $(VENV)/ready ## What runs in the local cluster
	@$(BIN)/python -m tests.harness status
