"""Simulated incidents with known truth: how early, how often and how wrongly the predictor warns.

`python -m benchmarks.incidents --seed 1` prints the whole report. Every figure of it is about simulated
hosts, since no public set of real gradual host failures exists; docs/predictor.md says what follows from that.
"""
