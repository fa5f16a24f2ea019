"""Random faults into every actor of the standard tree while a real workload runs; see `__main__`."""
