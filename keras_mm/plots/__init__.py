"""Plots of rows and of augmented images."""
