"""The benchmarks on disk: fetching, checking and repairing them."""
