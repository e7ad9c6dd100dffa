"""Training: objectives, optimizers, callbacks, the trainer, and training in stages."""
