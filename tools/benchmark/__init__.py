"""Times of training steps and of all around them, beside the plain computation."""
