"""The forms that ILSVRC and its relatives come in: a file for each, and how one is told.

Imports `source`, `schema` and `base`; for `job`, `config` and the commands of `data_prep`.
"""
