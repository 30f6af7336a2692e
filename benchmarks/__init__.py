"""Commands that measure the workspace beside its peers, in turns on one machine.

Nothing imports this room; it may import every other.
"""
