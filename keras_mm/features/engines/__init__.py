"""What runs encoders that are not trained: Keras, or OpenVINO."""
