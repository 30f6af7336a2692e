"""The offline job: plan, shards, what runs them, checks before and verification after.

Imports `source` and `image`; for the commands of `data_prep` alone.
"""
