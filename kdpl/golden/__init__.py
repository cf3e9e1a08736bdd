"""Golden numbers of the published implementation: ``golden_public.json``, and ``weights.py``, which makes its inputs.

The models are small, their weights generated; learned tensors, logits, losses, gradients and prompts after three steps
were measured in float32 on a CPU. ``templates.json`` holds the hand-written prompts that were used.
"""
