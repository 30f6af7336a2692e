"""What lies where: a source's layout, its classes, and a position for each of its images.

Imports `schema` and `base`; for the other sub-rooms and the commands of `data_prep`.
"""
