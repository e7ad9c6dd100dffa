"""Training: optimizers, callbacks and the trainer."""
