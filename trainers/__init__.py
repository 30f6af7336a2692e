"""Training, evaluation and the record of experiments.

Imports `base`, `nets`, `pipelines` and `data_prep.schema`; nothing but `benchmarks` imports it.
"""

from base.tensorflow_start import start_on_import

start_on_import()
