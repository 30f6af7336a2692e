"""A run's folder: made, described, locked, read, pruned; no TensorFlow where it is only read.

Imports no other sub-room of `trainers`; all of them may import it.
"""
