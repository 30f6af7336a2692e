"""What runs say, for people: tables, differences, published figures beside ours, one HTML page.

Imports `run_folder` and `scoring/mistakes`, without TensorFlow; for `runs.py`.
"""
