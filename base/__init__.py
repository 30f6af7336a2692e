"""What every room stands on: commands and their flags, files, texts that name calls.

Imports none of the other rooms; any room but `nets` may import it.
"""
