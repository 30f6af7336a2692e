"""What computes: replicas on GPUs or on parts of the CPU, and what these can do and hold.

For the rooms in which nets are computed; it imports none of them.
"""
