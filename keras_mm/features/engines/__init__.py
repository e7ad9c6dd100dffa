"""The engines that run frozen encoders: Keras and OpenVINO."""
