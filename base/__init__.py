"""What every room stands on: commands and their flags, files, texts that name calls.

Imports none of the other rooms; any room but `nets` may import it.
"""

__version__ = "0.2.0"  # of the whole workspace: setup.cfg takes it from here; see CHANGELOG.md
