"""The fleet at full size: thousands of pods, agents over TLS, one operator, a real API server. `python -m benchmarks.scale`."""
