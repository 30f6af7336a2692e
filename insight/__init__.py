"""Trained nets looked into: the figures by which the papers show what their nets have learned.

Imports everything, for its command; nothing imports it.
"""
