"""Data set directories: opened, checked, and their records in the order of an epoch.

Imports `functions` for decoders and draws; for the rest of `pipelines` and for `trainers`.
"""
