"""Images: from a cell to pixels."""
