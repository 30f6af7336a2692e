"""Training, evaluation and the record of experiments.

Imports `base`, `nets`, `pipelines` and `data_prep.schema`; nothing but `benchmarks` imports it.
"""
