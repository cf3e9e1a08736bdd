"""Golden numbers from the published implementation: ``golden_public.json``, with the generator ``weights.py``.

The models are small, with generated weights. Learned tensors, logits, losses, gradients and prompts after three steps
were recorded in float32 on a CPU. ``templates.json`` contains the hand-written prompts that were used.
"""
