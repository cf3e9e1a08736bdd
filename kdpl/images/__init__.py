"""Images: files, transforms, and the seeded loader of training images."""
