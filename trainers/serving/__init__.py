"""A trained net on files of one's own: predictions, pictures, exports to other programs.

Imports `training` and `run_folder`; for the commands.
"""
