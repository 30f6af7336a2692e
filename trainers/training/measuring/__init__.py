"""Steps that are taken to measure, and kept in no run: speed, and a learning rate.

Imports `training`; only the commands, and `benchmarks`, import it.
"""
