"""What seeing inside costs, and what it keeps to itself: `python -m benchmarks.telemetry [--json] [--quick]`."""
