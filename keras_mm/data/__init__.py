"""From tables to the model's inputs."""
