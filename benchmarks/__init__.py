"""What the provider costs, each measured by one command: ``python -m benchmarks.<name>``."""
