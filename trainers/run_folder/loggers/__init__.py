"""Where a run's numbers go beside metrics.jsonl: TensorBoard, Weights & Biases, MLflow.

Imports `base` and `run_folder`; for `training`. The packages are imported when they are asked for.
"""
