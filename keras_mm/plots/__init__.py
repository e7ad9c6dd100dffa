"""Pictures of rows and of what augmentation does to them."""
