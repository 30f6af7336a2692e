"""The map functions, each a factory under its name, and what they draw, decode and resize by.

Imports no other part of `pipelines`; `chain` composes what is registered here.
"""
