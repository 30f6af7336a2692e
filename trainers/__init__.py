"""Training, evaluation and the record of experiments."""
