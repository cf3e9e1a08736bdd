"""Show versions and device; with --gpu, check whether compiled training steps are correct and faster.

With --gpu, it times training steps of CLIPs with random weights (nothing is downloaded): plain steps, steps compiled
with torch.compile and, on a GPU, CUDA graphs. It ends with a recommendation for TRAINER.KDPL.STEP. The exit code is 1
if a kind of step fails or gives wrong results.
"""

import argparse

EXAMPLE = "kdpl doctor --gpu"
LINE = "{:<22} {}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--gpu", action="store_true", help="compare and time the kinds of training steps")
    add("--device", default="cuda", help="device for the comparison (default: cuda)")
    add("--method", default="CoOp", help="method (default: CoOp)")
    add("--student", default="ViT-B/32", help="student architecture (default: ViT-B/32)")
    add("--teacher", default="ViT-L/14", help="teacher architecture (default: ViT-L/14)")
    add("--classes", type=int, default=50, help="number of classes (default: 50)")
    add("--batch", type=int, default=32, help="batch size (default: 32)")
    add("--steps", type=int, default=20, help="timed steps of each kind (default: 20)")
    add("--precision", default="auto", help="fp32, bf16, fp16, amp or auto (default: auto)")


def run(args: argparse.Namespace) -> int:
    import torch

    from ..clip.device import device_name, resolve_device
    from ..ranges import whole
    from ..versions import versions

    for name in ("classes", "batch", "steps"):
        whole(2 if name == "classes" else 1, 1_000_000).check(f"--{name}", getattr(args, name))
    for name, version in versions().items():
        print(LINE.format(name, version))
    print(LINE.format("device", device_name(resolve_device("auto"))))
    if not args.gpu:
        return 0
    if args.device == "cuda" and not torch.cuda.is_available():
        print(LINE.format("verdict", "torch finds no CUDA GPU; nothing was compared, and training uses plain steps."))
        print(LINE.format("", "Use --device cpu to compare plain and compiled steps on the CPU."))
        return 1
    return _compare(args, resolve_device(args.device))


def _compare(args: argparse.Namespace, device) -> int:
    from ..clip.precision import resolve_precision
    from ..measuring.random_clips import image_flops
    from ..measuring.steps import compare_steps, step_case, verdict
    from ..measuring.timing import interleaved_seconds, matrix_ceiling

    precision = resolve_precision(args.precision, device)
    objective, batch = step_case(args.method, args.student, args.teacher, args.classes, args.batch, device, precision)
    print(f"\n{args.method} with KDPL, {args.classes} classes, {args.batch} images, {precision.name}, {device}")
    ceiling = matrix_ceiling(device, precision.weights_dtype)
    (seconds,) = interleaved_seconds([lambda: objective.teacher.image_features(batch["img"])], 5, device)
    reached = args.batch * image_flops(args.teacher) / seconds
    share = f"{100 * reached / ceiling:.0f} % of that peak"
    print(LINE.format("matrix products", f"{ceiling / 1e12:.3g} TFLOP/s peak"))
    print(LINE.format("teacher's images", f"{args.batch / seconds:.1f} per second, {share}"))
    kinds = ("plain", "compiled", "graph") if device.type == "cuda" else ("plain", "compiled")
    measures = compare_steps(objective, batch, args.steps, kinds)
    for measure in measures:
        result = (
            measure.failure
            or f"{1000 * measure.seconds:.2f} ms, relative difference of prompts {measure.difference:.0e}"
        )
        print(LINE.format(f"{measure.kind} steps", result))
    print(LINE.format("verdict", verdict(measures, precision)))
    return 0 if all(measure.is_right(precision) for measure in measures) else 1
