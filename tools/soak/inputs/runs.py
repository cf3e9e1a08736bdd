"""Invalid or unsuitable output folders, records, checkpoints and resume files."""

from collections.abc import Callable

from .case import (
    TRAIN,
    Case,
    Content,
    copy,
    cut,
    edited,
    edited_torch,
    fifo,
    folder,
    garbled,
    link,
    sparse,
    torch_file,
    unix_socket,
)

SHORT = "OPTIM.MAX_EPOCH 2 DATALOADER.NUM_WORKERS 0 DATASET.FOLDER.DIVIDE True"
EVALUATE = f"{TRAIN} --eval-only --model-dir $here/run {SHORT}"
RESUME = f"{TRAIN.replace('$here/out', '$here/run')} {SHORT}"
SKIP = f"{TRAIN.replace('$here/out', '$here/run')} --skip-finished {SHORT}"
TABLES = "tools.tables $here/run --format csv"
MODEL = "run/prompt_learner/model.pth.tar-2"


def entry(**changes) -> Callable[[dict], None]:
    """Change top-level values."""
    return lambda content: content.update(changes)


def evaluation(**changes) -> Callable[[dict], None]:
    """Change values in the first evaluation of a record."""
    return lambda content: content["evaluations"][0].update(changes)


def ctx(change: Callable) -> Callable[[dict], None]:
    """Change the context vectors of a checkpoint."""
    return lambda content: content["state_dict"].update(ctx=change(content["state_dict"]["ctx"]))


RECORDS: dict[str, tuple[Content, str]] = {  # results.json
    "empty": ("", "results.json"),
    "an empty list": ("[]", "results.json"),
    "an empty object": ("{}", "results.json"),
    "null": ("null", "results.json"),
    "truncated": (cut(0.7), "results.json"),
    "noise": (garbled(n_bytes=200), "results.json"),
    "zeros": (bytes(1000), "results.json"),
    "a web page": ("<html>", "results.json"),
    "another format": (edited(entry(format=7)), "format"),
    "without format": (edited(lambda content: {k: v for k, v in content.items() if k != "format"}), "format"),
    "without trainer": (edited(lambda content: {k: v for k, v in content.items() if k != "trainer"}), "trainer"),
    "a number as the trainer": (edited(entry(trainer=3)), "trainer"),
    "text as the seed": (edited(entry(seed="one")), "seed"),
    "a seed of 31 digits": (edited(entry(seed=10**30)), "seed"),
    "an unknown mode": (edited(entry(mode="rest")), "mode"),
    "a number instead of evaluations": (edited(entry(evaluations=3)), "evaluations"),
    "text instead of an evaluation": (edited(entry(evaluations=["good"])), "evaluation"),
    "more correct than total": (edited(evaluation(correct=9, total=3)), "9 correct of 3"),
    "a negative count": (edited(evaluation(correct=-1)), "correct is -1"),
    "no images": (edited(evaluation(total=0)), "total is 0"),
    "an accuracy of 130": (edited(evaluation(accuracy=130.0)), "130"),
    "an accuracy that contradicts its counts": (edited(evaluation(correct=1, total=4, accuracy=99.0)), "99.0"),
    "NaN": (edited(evaluation(accuracy=float("nan"))), "NaN"),
    "infinity": (edited(evaluation(ece=float("inf"))), "Infinity"),
    "a number instead of a class": (edited(evaluation(per_class=[1])), "class"),
    "a list as the configuration": (edited(entry(config=[])), "config"),
    "a pipe": (fifo, "results.json"),
    "a folder": (folder, "results.json|log.txt"),
    "a socket": (unix_socket, "results.json"),
    "a device": (link("/dev/zero"), "results.json"),
    "a link to itself": (link("results.json"), "results.json"),
    "300 MB of zeros": (sparse(300 * 2**20), "results.json"),
    "nested too deeply": ("[" * 100_000, "results.json"),
}
STATES: dict[str, tuple[Content, str]] = {  # resume.pth
    "empty": ("", "resume.pth"),
    "an empty dictionary": (torch_file(dict), "resume.pth"),
    "a list": (torch_file(list), "resume.pth"),
    "a number": (torch_file(lambda: 3), "resume.pth"),
    "truncated": (cut(0.6), "resume.pth"),
    "noise": (garbled(), "resume.pth"),
    "zeros": (bytes(5000), "resume.pth"),
    "text": ("hello\n", "resume.pth"),
    "a pickle that calls a function": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "resume.pth"),
    "an epoch of a billion": (edited_torch(entry(epoch=10**9)), "epoch 1000000000"),
    "an epoch below 0": (edited_torch(entry(epoch=-1)), "epoch -1"),
    "an epoch as text": (edited_torch(entry(epoch="2")), "epoch"),
    "a number instead of settings": (edited_torch(entry(settings=3)), "settings"),
    "settings that are not JSON": (edited_torch(entry(settings="{")), "settings"),
    "other settings": (edited_torch(entry(settings='{"OPTIM.LR": 9}')), "OPTIM.LR"),
    "text instead of prompts": (edited_torch(entry(prompts="none")), "prompts"),
    "no prompts": (edited_torch(entry(prompts={})), "resume.pth"),
    "a list instead of an optimizer": (edited_torch(entry(optimizer=[])), "optimizer"),
    "a pipe": (fifo, "resume.pth"),
    "a folder": (folder, "resume.pth"),
    "a device": (link("/dev/zero"), "resume.pth"),
}
MODELS: dict[str, tuple[Content, str]] = {  # model.pth.tar-2
    "empty": ("", "model.pth.tar-2"),
    "truncated": (cut(0.5), "model.pth.tar-2"),
    "noise": (garbled(), "model.pth.tar-2"),
    "text": ("hello\n", "model.pth.tar-2"),
    "a dictionary without a state dict": (torch_file(lambda: {"epoch": 1}), "model.pth.tar-2"),
    "text instead of a tensor": (torch_file(lambda: {"state_dict": {"ctx": "x"}}), "model.pth.tar-2"),
    "another shape": (edited_torch(ctx(lambda tensor: tensor[:2])), "shape"),
    "NaN": (edited_torch(ctx(lambda tensor: tensor * float("nan"))), "finite"),
    "integers": (edited_torch(ctx(lambda tensor: tensor.long())), "finite|ctx"),
    "a sparse tensor": (edited_torch(ctx(lambda tensor: tensor.to_sparse())), "model.pth.tar-2"),
    "another method": (edited_torch(entry(method="VPT", description='{"method": "VPT"}')), "VPT"),
    "a description that is not JSON": (edited_torch(entry(description="{")), "description"),
    "a list as the description": (edited_torch(entry(description="[]")), "description"),
    "an extra tensor": (
        edited_torch(lambda content: content["state_dict"].update(x=content["state_dict"]["ctx"])),
        "x",
    ),
    "a pipe": (fifo, "model.pth.tar-2"),
    "a folder": (folder, "model.pth.tar-2|no checkpoint"),
    "a device": (link("/dev/zero"), "model.pth.tar-2"),
    "a broken link": (link("nothing"), "model.pth.tar-2"),
}


def at(path: str, content: Content) -> dict[str, Content]:
    """A copy of the good run in which one file is replaced or changed."""

    def make(place, good):
        before = place.read_bytes()
        try:
            if callable(content):
                content(place, good)
            else:
                place.write_bytes(content.encode() if isinstance(content, str) else content)
        except FileExistsError:
            place.unlink()
            content(place, good)
        except OSError:  # a socket cannot be bound to an existing path
            place.unlink(missing_ok=True)
            content(place, good)
        assert place.is_symlink() or not place.is_file() or place.stat().st_size != len(before) or (
            place.read_bytes() != before
        )  # fmt: skip

    return {"run": copy("run"), path: make}


CASES = [
    Case(f"{what} of results.json: {name}", command, says, at("run/results.json", content), codes)
    for what, command, codes in (("skipping", SKIP, (2,)), ("tables", TABLES, (0, 2)))
    for name, (content, says) in RECORDS.items()
]
CASES += [
    Case(f"resuming from resume.pth: {name}", RESUME, says, at("run/resume.pth", content))
    for name, (content, says) in STATES.items()
]
CASES += [
    Case(f"evaluating model.pth.tar-2: {name}", EVALUATE, says, at(MODEL, content))
    for name, (content, says) in MODELS.items()
]
CASES += [
    Case("a missing model", EVALUATE, "No checkpoint at"),
    Case("a missing epoch", EVALUATE.replace("--eval-only", "--eval-only --load-epoch 9"), "Available epochs: 2",
         {"run": copy("run")}),
    Case("loading an epoch below 0", f"{EVALUATE} --load-epoch -3".replace(SHORT, ""), "-3", {"run": copy("run")}),
    Case("a superscript digit in the name", EVALUATE, "must be called",
         {"run/prompt_learner/model.pth.tar-\u00b2": copy("run/prompt_learner/model.pth.tar-2")}),
    Case("a model folder that is a file", EVALUATE, "run is not a checkpoint", {"run": "x"}),
    Case("another method", EVALUATE.replace("CoOp_KDPL", "VPT_KDPL"), "contains CoOp prompts", {"run": copy("run")}),
    Case("resuming from a file", f"{TRAIN} --resume $names {SHORT}", "names.txt"),
    Case("a run with other settings", f"{SKIP} OPTIM.LR 0.5", "OPTIM.LR", {"run": copy("run")}),
    Case("tables of a missing folder", "tools.tables $here/none", "none"),
    Case("tables of a file", "tools.tables $names", "names.txt"),
    Case("tables of an empty folder", "tools.tables $here/a", "a", {"a": folder}),
    Case("tables with an unknown baseline", "tools.tables $run --baseline Nobody --format csv", "'Nobody'"),
    Case("tables in an unknown format", "tools.tables $run --format pdf", "--format"),
    Case("tables into a file", "tools.tables $run --to $names", "names.txt"),
    Case("tables into /proc", "tools.tables $run --to /proc/tables", "/proc/tables"),
    Case("a log of another program", "tools.tables $here/a", "log.txt", {"a/log.txt": "hello\n" * 100}),
    Case("a log of noise", "tools.tables $here/a", "log.txt", {"a/log.txt": bytes(range(256)) * 100}),
    Case("a log that is a pipe", "tools.tables $here/a", "log.txt", {"a/log.txt": fifo}),
]  # fmt: skip
