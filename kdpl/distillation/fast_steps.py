"""Steps of training without the cost of launching their kernels one by one."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .objective import Objective

STEPS = ("plain", "compiled", "graph")
WARM_UP = 3  # passes before a capture, as torch asks for
Terms = dict[str, Tensor]


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """The sum of the terms whose names begin with "loss"."""
    return sum(value for name, value in terms.items() if name.startswith("loss"))


def terms_function(objective: Objective, kind: str) -> Callable[[Mapping[str, Any]], Terms]:
    """What computes the terms of a batch: the objective itself or, for "compiled" steps, one compiled graph of it."""
    if kind != "compiled" or not has_one_graph(objective, kind):
        return objective.terms
    objective.model.known_text_features(None)  # now, as it happens once and not in every step
    # On a GPU as CUDA graphs, whose replay is a single launch.
    mode = "reduce-overhead" if objective.model.device.type == "cuda" else "default"
    compiled, inputs = torch.compile(objective.terms, fullgraph=True, dynamic=False, mode=mode), objective.inputs
    # Whatever else a batch holds, such as paths, differs from step to step and would be compiled anew.
    return lambda batch: compiled({name: batch[name] for name in inputs})


def has_one_graph(objective: Objective, kind: str) -> bool:
    """Whether all steps do the same, so that one graph can stand for them; tells if they do not.

    In class-agnostic training the number of classes of each length differs from step to step.
    """
    if objective.chooses_classes:
        print(f"Class-agnostic steps choose their classes: they run plainly, not {kind}.")
    return not objective.chooses_classes


class GraphedStep:
    """Terms and gradients of a batch, forward and backward, as one CUDA graph; a replay replaces the last gradients."""

    def __init__(self, objective: Objective, batch: Mapping[str, Any]):
        """
        Args:
            batch: one that those of the steps are like: tensors of the same shapes.
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
        # What other threads ask of the card, such as the one that pins images, does not end the capture.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.terms = objective.terms(self.inputs)
            total_loss(self.terms).backward()
        self.gradients = [parameter.grad for parameter in self.parameters]
        self.terms = {name: value.detach() for name, value in self.terms.items()}

    def fits(self, batch: Mapping[str, Any]) -> bool:
        """Whether a batch is like the captured one."""
        return all(batch[name].shape == static.shape for name, static in self.inputs.items())

    def __call__(self, batch: Mapping[str, Any]) -> Terms:
        """The terms of a batch, valid until the next call; its gradients are those of the parameters."""
        for name, static in self.inputs.items():
            static.copy_(batch[name], non_blocking=True)
        self.graph.replay()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient  # whatever a step without the graph has left there
        return self.terms
