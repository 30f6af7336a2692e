"""One image: from a file's bytes to what a shard stores, sums of its pixels, and windows of it.

Imports `schema` alone of this room; the input pipeline imports it for windows of stored images, and
predictions, to treat a file as a data set would.
"""
