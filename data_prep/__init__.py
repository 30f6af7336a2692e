"""Offline preparation: from a source of ILSVRC images to a directory of TFRecord shards.

Imports `base`; other rooms may import its `schema`, and predictions its `image`.
"""
