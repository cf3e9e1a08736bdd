"""Many runs from one declarative file, on this machine or on a cluster: `python -m tools.sweep SPEC.yaml`."""
