"""Images: from a table's cell to pixels."""
