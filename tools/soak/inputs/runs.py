"""Output folders, records, checkpoints and states of trainings that do not fit the run that reads them."""

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
    """A change of values."""
    return lambda content: content.update(changes)


def evaluation(**changes) -> Callable[[dict], None]:
    """A change of a record's evaluation."""
    return lambda content: content["evaluations"][0].update(changes)


def ctx(change: Callable) -> Callable[[dict], None]:
    """A change of the learned tensor of a checkpoint."""
    return lambda content: content["state_dict"].update(ctx=change(content["state_dict"]["ctx"]))


RECORDS: dict[str, tuple[Content, str]] = {  # of results.json
    "empty": ("", "results.json"),
    "an empty list": ("[]", "results.json"),
    "an empty object": ("{}", "results.json"),
    "null": ("null", "results.json"),
    "cut off": (cut(0.7), "results.json"),
    "noise": (garbled(n_bytes=200), "results.json"),
    "zeros": (bytes(1000), "results.json"),
    "a web page": ("<html>", "results.json"),
    "another format": (edited(entry(format=7)), "format"),
    "without format": (edited(lambda content: {k: v for k, v in content.items() if k != "format"}), "format"),
    "without trainer": (edited(lambda content: {k: v for k, v in content.items() if k != "trainer"}), "trainer"),
    "a trainer that is a number": (edited(entry(trainer=3)), "trainer"),
    "a seed that is text": (edited(entry(seed="one")), "seed"),
    "a seed without end": (edited(entry(seed=10**30)), "seed"),
    "a mode that is none": (edited(entry(mode="rest")), "mode"),
    "evaluations that are a number": (edited(entry(evaluations=3)), "evaluations"),
    "an evaluation that is text": (edited(entry(evaluations=["good"])), "evaluation"),
    "more correct than total": (edited(evaluation(correct=9, total=3)), "9 correct of 3"),
    "negative": (edited(evaluation(correct=-1)), "correct is -1"),
    "no images": (edited(evaluation(total=0)), "total is 0"),
    "an accuracy of 130": (edited(evaluation(accuracy=130.0)), "130"),
    "an accuracy that does not fit": (edited(evaluation(correct=1, total=4, accuracy=99.0)), "99.0"),
    "NaN": (edited(evaluation(accuracy=float("nan"))), "NaN"),
    "infinity": (edited(evaluation(ece=float("inf"))), "Infinity"),
    "a class that is a number": (edited(evaluation(per_class=[1])), "class"),
    "a configuration that is a list": (edited(entry(config=[])), "config"),
    "a pipe": (fifo, "results.json"),
    "a folder": (folder, "results.json|log.txt"),
    "a socket": (unix_socket, "results.json"),
    "a device": (link("/dev/zero"), "results.json"),
    "a link to itself": (link("results.json"), "results.json"),
    "300 MB of nothing": (sparse(300 * 2**20), "results.json"),
    "too deep": ("[" * 100_000, "results.json"),
}
STATES: dict[str, tuple[Content, str]] = {  # of resume.pth
    "empty": ("", "resume.pth"),
    "an empty dictionary": (torch_file(dict), "resume.pth"),
    "a list": (torch_file(list), "resume.pth"),
    "a number": (torch_file(lambda: 3), "resume.pth"),
    "cut off": (cut(0.6), "resume.pth"),
    "noise": (garbled(), "resume.pth"),
    "zeros": (bytes(5000), "resume.pth"),
    "text": ("hello\n", "resume.pth"),
    "a pickle of a call": (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "resume.pth"),
    "an epoch of a billion": (edited_torch(entry(epoch=10**9)), "epoch 1000000000"),
    "an epoch below 0": (edited_torch(entry(epoch=-1)), "epoch -1"),
    "an epoch as text": (edited_torch(entry(epoch="2")), "epoch"),
    "settings that are none": (edited_torch(entry(settings=3)), "settings"),
    "settings that are no JSON": (edited_torch(entry(settings="{")), "settings"),
    "other settings": (edited_torch(entry(settings='{"OPTIM.LR": 9}')), "OPTIM.LR"),
    "prompts that are text": (edited_torch(entry(prompts="none")), "prompts"),
    "prompts of another shape": (edited_torch(entry(prompts={})), "resume.pth"),
    "an optimizer that is a list": (edited_torch(entry(optimizer=[])), "optimizer"),
    "a pipe": (fifo, "resume.pth"),
    "a folder": (folder, "resume.pth"),
    "a device": (link("/dev/zero"), "resume.pth"),
}
MODELS: dict[str, tuple[Content, str]] = {  # of model.pth.tar-2
    "empty": ("", "model.pth.tar-2"),
    "cut off": (cut(0.5), "model.pth.tar-2"),
    "noise": (garbled(), "model.pth.tar-2"),
    "text": ("hello\n", "model.pth.tar-2"),
    "a dictionary without state": (torch_file(lambda: {"epoch": 1}), "model.pth.tar-2"),
    "a state of text": (torch_file(lambda: {"state_dict": {"ctx": "x"}}), "model.pth.tar-2"),
    "another shape": (edited_torch(ctx(lambda tensor: tensor[:2])), "shape"),
    "NaN": (edited_torch(ctx(lambda tensor: tensor * float("nan"))), "finite"),
    "whole numbers": (edited_torch(ctx(lambda tensor: tensor.long())), "finite|ctx"),
    "sparse": (edited_torch(ctx(lambda tensor: tensor.to_sparse())), "model.pth.tar-2"),
    "another method": (edited_torch(entry(method="VPT", description='{"method": "VPT"}')), "VPT"),
    "a description that is none": (edited_torch(entry(description="{")), "description"),
    "a description of a list": (edited_torch(entry(description="[]")), "description"),
    "a name too much": (
        edited_torch(lambda content: content["state_dict"].update(x=content["state_dict"]["ctx"])),
        "x",
    ),
    "a pipe": (fifo, "model.pth.tar-2"),
    "a folder": (folder, "model.pth.tar-2|no checkpoint"),
    "a device": (link("/dev/zero"), "model.pth.tar-2"),
    "a link to nothing": (link("nothing"), "model.pth.tar-2"),
}


def at(path: str, content: Content) -> dict[str, Content]:
    """A run in which a file is another one; a change starts from the good one."""

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
        except OSError:  # of a socket, whose place is taken
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
    Case("no such model", EVALUATE, "No checkpoint at"),
    Case("no such epoch", EVALUATE.replace("--eval-only", "--eval-only --load-epoch 9"), "Available epochs: 2",
         {"run": copy("run")}),
    Case("an epoch below 0", f"{EVALUATE} --load-epoch -3".replace(SHORT, ""), "-3", {"run": copy("run")}),
    Case("a name in other digits", EVALUATE, "must be called",
         {"run/prompt_learner/model.pth.tar-\u00b2": copy("run/prompt_learner/model.pth.tar-2")}),
    Case("a model folder that is a file", EVALUATE, "run is not a checkpoint", {"run": "x"}),
    Case("another method", EVALUATE.replace("CoOp_KDPL", "VPT_KDPL"), "contains CoOp prompts", {"run": copy("run")}),
    Case("another folder to resume from", f"{TRAIN} --resume $names {SHORT}", "names.txt"),
    Case("a run with other settings", f"{SKIP} OPTIM.LR 0.5", "OPTIM.LR", {"run": copy("run")}),
    Case("tables of no folder", "tools.tables $here/none", "none"),
    Case("tables of a file", "tools.tables $names", "names.txt"),
    Case("tables of an empty folder", "tools.tables $here/a", "a", {"a": folder}),
    Case("tables against nobody", "tools.tables $run --baseline Nobody --format csv", "'Nobody'"),
    Case("tables in no format", "tools.tables $run --format pdf", "--format"),
    Case("tables to a file", "tools.tables $run --to $names", "names.txt"),
    Case("tables to nowhere", "tools.tables $run --to /proc/tables", "/proc/tables"),
    Case("a log of another program", "tools.tables $here/a", "log.txt", {"a/log.txt": "hello\n" * 100}),
    Case("a log of noise", "tools.tables $here/a", "log.txt", {"a/log.txt": bytes(range(256)) * 100}),
    Case("a log that is a pipe", "tools.tables $here/a", "log.txt", {"a/log.txt": fifo}),
]  # fmt: skip
