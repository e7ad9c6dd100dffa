"""The command line `keras-mm`."""
