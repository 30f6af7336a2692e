"""Weights to begin with: published files, their names, the run that they become; a run's own.

Imports `run_folder`; for `import_weights.py` and `training`.
"""
