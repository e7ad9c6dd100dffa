"""From a table to the inputs of the model."""
