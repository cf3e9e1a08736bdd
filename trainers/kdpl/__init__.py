"""Code shared by the trainers in the folder above."""
