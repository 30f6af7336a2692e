"""Published weights: their files, their names, and the run that they become.

Imports `training`, `scoring` and `run_folder`; for `import_weights.py`.
"""
