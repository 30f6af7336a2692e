"""One image: from a file's bytes to what a shard stores, and sums of its pixels.

Imports `schema` alone of this room; predictions import it too, to treat a file as a data set would.
"""
