"""The feature store: features on disk."""
