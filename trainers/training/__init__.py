"""The loop: steps, optimizers, schedules, losses, replicas, validation, and what goes wrong.

Imports `run_folder` and `weights`; for the commands and for what opens a trained net again.
"""
