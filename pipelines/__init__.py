"""The input pipeline: from TFRecord shards to batches on the devices, by tf.data.

Imports `base`, `data_prep.schema` and `data_prep.image`; `trainers` and `benchmarks` may import it.
"""

from base.tensorflow_start import start_on_import

start_on_import()
