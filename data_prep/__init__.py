"""Offline preparation: from a source of ILSVRC images to a directory of TFRecord shards."""
