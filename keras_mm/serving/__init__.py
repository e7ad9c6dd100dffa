"""Taking a model along."""
