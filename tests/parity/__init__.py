"""Golden numbers of the published implementation, compared with the trainers: ``python -m tests.parity``."""
