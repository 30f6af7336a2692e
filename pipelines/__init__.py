"""The input pipeline: from TFRecord shards to batches on the devices, by tf.data."""
