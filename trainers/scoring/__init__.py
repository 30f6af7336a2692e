"""Trained nets scored by the papers' protocols.

Imports `training` and `run_folder`; for the commands, `weights` and `report`.
"""
