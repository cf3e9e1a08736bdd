"""Training steps without the overhead of launching kernels one by one: compiled, or as a CUDA graph."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .objective import Objective

STEPS = ("plain", "compiled", "graph")
WARM_UP = 3  # passes before a capture, as torch requires
Terms = dict[str, Tensor]


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of all terms whose names start with "loss"."""
    return sum(value for name, value in terms.items() if name.startswith("loss"))


def terms_function(objective: Objective, kind: str) -> Callable[[Mapping[str, Any]], Terms]:
    """The function that computes a batch's terms: the objective's own or, for "compiled" steps, compiled by torch."""
    if kind != "compiled" or not has_one_graph(objective, kind):
        return objective.terms
    objective.model.known_text_features(None)  # computed once, so it must not become part of the compiled step
    # On a GPU, use CUDA graphs, which are replayed with a single launch.
    mode = "reduce-overhead" if objective.model.device.type == "cuda" else "default"
    compiled, inputs = torch.compile(objective.terms, fullgraph=True, dynamic=False, mode=mode), objective.inputs
    # Other entries of a batch, such as paths, change in every step and would cause recompilation.
    return lambda batch: compiled({name: batch[name] for name in inputs})


def has_one_graph(objective: Objective, kind: str) -> bool:
    """Whether one graph fits all steps; prints a notice if not.

    In class-agnostic training the number of classes of each length varies from step to step.
    """
    if objective.chooses_classes:
        print(f"Class-agnostic steps select different classes each time, so they cannot run {kind}; using plain steps.")
    return not objective.chooses_classes


class GraphedStep:
    """Forward and backward pass of a batch as one CUDA graph; each replay overwrites the previous gradients."""

    def __init__(self, objective: Objective, batch: Mapping[str, Any]):
        """
        Args:
            batch: an example whose tensors have the same shapes as in all later batches.
        """
        self.parameters = list(objective.model.prompt_learner.parameters())
        self.inputs = {name: batch[name].clone() for name in objective.inputs}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                total_loss(objective.terms(self.inputs)).backward()
        torch.cuda.current_stream().wait_stream(stream)
        for parameter in self.parameters:
            parameter.grad = None  # the capture allocates gradients that belong to the graph
        self.graph = torch.cuda.CUDAGraph()
        # "thread_local": CUDA calls from other threads, such as the one that pins images, do not abort the capture.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.terms = objective.terms(self.inputs)
            total_loss(self.terms).backward()
        self.gradients = [parameter.grad for parameter in self.parameters]
        self.terms = {name: value.detach() for name, value in self.terms.items()}

    def fits(self, batch: Mapping[str, Any]) -> bool:
        """Whether a batch has the same shapes as the captured one."""
        return all(batch[name].shape == static.shape for name, static in self.inputs.items())

    def __call__(self, batch: Mapping[str, Any]) -> Terms:
        """The terms of a batch, valid until the next call; sets the parameters' gradients."""
        for name, static in self.inputs.items():
            static.copy_(batch[name], non_blocking=True)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # again, because a plain step may have replaced it
        return self.terms
