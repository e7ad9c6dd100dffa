"""What a user may set, as plain data. Loads no backend."""
