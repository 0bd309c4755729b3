"""The `genmodels` command. Results go to standard output, progress and errors to standard error.

Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage, 130 ended by Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import os
import platform
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import genmodels as gm

from . import binarization, datasets, metrics, plot, run, settings, sweep, zoo
from ._files import replacing
from ._labels import classes_in_turn
from .network import PRECISIONS

_USER_ERRORS = (ValueError, TypeError, OSError, ImportError, MemoryError, OverflowError, FloatingPointError)
# What `train` takes for settings not given, unless --recipe says to take the model's own.
_DEFAULTS = {
    **{"data": "strokes", "split": "train", "limit": None, "image_size": None, "latent_dim": None},
    **{"epochs": 10, "batch_size": 128, "seed": 0, "conditional": False},
    **{"binarize": None, "learning_rate": None, "beta1": None, "precision": PRECISIONS[0]},
}

# What `sweep` takes for settings not given: the study of three families at three image and latent sizes.
_SWEEP_DEFAULTS = {
    **{name: _DEFAULTS[name] for name in ("data", "epochs", "batch_size", "limit", "beta1", "precision")},
    **{"models": ["vae", "gan", "wgan"], "sizes": [16, 32, 64], "latent": [2, 20, 100], "seeds": 3, "scores": False},
}

# What `info` calls the entries of `cpu_info`.
_CPU_ROWS = {
    **{"isa": "kernels chosen", "isa_available": "kernels available", "isa_machine": "best for this CPU"},
    "bf16": "bfloat16 products",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _escape_what_stdout_cannot_encode()
    arguments = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = arguments.command(arguments)
        if sys.stdout is not None:  # it was closed before the program began
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader has gone; without this Python complains once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except _USER_ERRORS as error:
        return _fail(_one_line(error), 2 if isinstance(error, run.RunExistsError) else 1)


def _escape_what_stdout_cannot_encode() -> None:
    """A path that the terminal cannot show is no reason to fail when the work is done."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="genmodels", description="Train and study small generative image models.")
    parser.add_argument("--version", action="version", version=f"genmodels {gm.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_train, _add_sample, _add_evaluate, _add_report, _add_info, _add_sweep):
        add(commands)
    return parser


def _add(commands: Any, name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    parser.add_argument("--threads", type=_whole(1), metavar="T", help="number of threads (default: all cores)")
    return parser


def _add_train(commands: Any) -> None:
    parser = _add(commands, "train", _train, "train a model of the zoo and write model, history, pictures and report")
    parser.add_argument("name", metavar="NAME", choices=zoo.names(), help=f"one of {', '.join(zoo.names())}")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the run's folder")
    _add_data(parser, "strokes, no download")
    parser.add_argument(
        "--split",
        choices=settings.SPLITS,
        help="train: on the training images (default); train+test: on all, none of which is then held out",
    )
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="train on the first N images only")
    parser.add_argument(
        "--image-size", type=_whole(1), metavar="N", help="pixels a side (default: the model's or else the data's)"
    )
    parser.add_argument("--latent-dim", type=_whole(1), metavar="N", help="latent axes (default: the model's)")
    parser.add_argument("--epochs", type=_whole(1), metavar="E", help="epochs in all (default: 10)")
    parser.add_argument("--batch-size", type=_whole(1), metavar="B", help="images a step (default: 128)")
    parser.add_argument(
        "--learning-rate", type=float, metavar="R", help="of all the model's optimizers (default: the model's own)"
    )
    parser.add_argument("--beta1", type=float, metavar="B", help="of the model's Adam optimizers (default: its own)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help=f"of the operands of products (default: {PRECISIONS[0]})"
    )
    parser.add_argument(
        "--seed", type=_whole(0), metavar="S", help="seed of weights, noise and data order (default: 0)"
    )
    parser.add_argument(
        "--conditional",
        action="store_const",
        const=True,
        help="give the model the labels, to draw by class",
    )
    parser.add_argument(
        "--binarize",
        choices=binarization.CHOICES,
        help="make images black and white: dynamic draws every pixel by its grey, anew in every epoch, fixed is white "
        "above 1/2",
    )
    parser.add_argument(
        "--recipe", action="store_true", help="take what is not given from the model's published recipe"
    )
    parser.add_argument("--budget", type=_seconds, metavar="T", help="end in good order after 90s, 30m or 2h")
    parser.add_argument(
        "--checkpoint-every", type=_whole(1), metavar="K", help="epochs between checkpoints (default: 1)"
    )
    parser.add_argument(
        "--keep",
        type=_whole(0),
        metavar="K",
        help="keep the last K checkpoints, and the best of a model that has one (default: the newest alone)",
    )
    parser.add_argument(
        "--samples-every", type=_whole(1), metavar="K", help="epochs between pictures (default: about ten pictures)"
    )
    parser.add_argument("--scores-every", type=_whole(1), metavar="K", help="epochs between scores (default: none)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume", dest="mode", action="store_const", const="resume", help="go on with the run in DIR, or begin it"
    )
    mode.add_argument(
        "--overwrite", dest="mode", action="store_const", const="overwrite", help="replace the run in DIR by a new one"
    )


def _add_sample(commands: Any) -> None:
    parser = _add(commands, "sample", _sample, "draw images from a trained model")
    parser.add_argument("model", type=Path, metavar="RUN_OR_FILE")
    parser.add_argument("--n", type=_whole(1), default=25, metavar="N", help="number of images (default: 25)")
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="S", help="seed of the noise (default: 0)")
    parser.add_argument("--labels", type=_labels, metavar="L,L", help="classes, repeated in turn (conditional models)")
    parser.add_argument("--out", type=Path, default=Path(run.SAMPLES), metavar="PNG", help="default: samples.png")


def _add_evaluate(commands: Any) -> None:
    parser = _add(commands, "evaluate", _evaluate, "print the losses and scores of a trained model on the test images")
    parser.add_argument("model", type=Path, metavar="RUN_OR_FILE")
    _add_data(parser, "what the run was trained on")
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="the first N test images only")
    least = metrics.evaluation.NEIGHBOURS + 1
    parser.add_argument("--n", type=_whole(least), metavar="N", help="images to draw for the scores (default: as many)")
    parser.add_argument(
        "--extractor",
        metavar="X",
        help="a data set's name, an ONNX file, or one of genmodels.metrics.train_extractor (default: the data set's)",
    )
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="S", help="seed of the noise (default: 0)")


def _add_data(parser: argparse.ArgumentParser, default: str) -> None:
    choices = f"{', '.join(datasets.names())}, or an .npz file with x_train and perhaps y_train, x_test, y_test"
    parser.add_argument("--data", type=_data, metavar="D", help=f"{choices} (default: {default})")
    _add_places(parser)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-root", metavar="FOLDER", help="where the data sets lie (default: GENMODELS_DATA, the cache)"
    )
    parser.add_argument(
        "--no-verify", dest="verify", action="store_false", help="take data files that are not the published ones"
    )


def _add_report(commands: Any) -> None:
    parser = _add(commands, "report", _report, "write one page with the scores and all pictures of runs")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    _add_places(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: report.html, in the folder of a lone run or else here"
    )


def _add_info(commands: Any) -> None:
    parser = _add(commands, "info", _info, "print version, CPU, kernels and threads, or what a model file holds")
    parser.add_argument("model", type=Path, nargs="?", metavar="RUN_OR_FILE")


def _add_sweep(commands: Any) -> None:
    parser = _add(commands, "sweep", _sweep, "train a grid of models, or go on with one, and write tables and a page")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the sweep's folder")
    parser.add_argument("--models", type=_names, metavar="A,B", help="families of the zoo (default: vae,gan,wgan)")
    parser.add_argument("--sizes", type=_numbers, metavar="N,N", help="pixels a side (default: 16,32,64)")
    parser.add_argument("--latent", type=_numbers, metavar="N,N", help="latent axes (default: 2,20,100)")
    parser.add_argument("--seeds", type=_whole(1), metavar="K", help="seeds 0..K-1 of each (default: 3)")
    _add_data(parser, "strokes, no download")
    parser.add_argument("--epochs", type=_whole(1), metavar="E", help="epochs of each (default: 10)")
    parser.add_argument("--batch-size", type=_whole(1), metavar="B", help="images a step (default: 128)")
    parser.add_argument("--limit", type=_whole(1), metavar="N", help="train on the first N images only")
    parser.add_argument("--beta1", type=float, metavar="B", help="of the models' Adam optimizers (default: their own)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help=f"of the operands of products (default: {PRECISIONS[0]})"
    )
    parser.add_argument(
        "--scores", action="store_const", const=True, help="score every trial at its end, as evaluate does"
    )
    parser.add_argument("--workers", type=_whole(1), default=1, metavar="W", help="trials at a time (default: 1)")
    parser.add_argument(
        "--checkpoint-every", type=_whole(1), default=1, metavar="K", help="epochs between checkpoints (default: 1)"
    )


def _train(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    _log_to_stderr()
    recipe: dict[str, Any] = zoo.recipe(arguments.name) if arguments.recipe else {}
    recipe.pop("image_size", None)  # the model's or else the data's
    asked = {"model": arguments.name, **_given(arguments, _DEFAULTS, recipe)}
    options = _given(arguments, asdict(settings.Options()), recipe)
    work = run.Run.open(arguments.out, asked, _DEFAULTS, arguments.mode or "new", options=options, **_places(arguments))
    if work.finished():
        print(f"nothing to do: all {work.settings.epochs} epochs are trained")
        return _print_paths(work)
    return _report_outcome(work, work.train(arguments.budget), arguments.budget)


def _places(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the data sets lie, and whether they must be the published ones."""
    return {"data_root": arguments.data_root, "verify": arguments.verify}


def _given(arguments: argparse.Namespace, names: Iterable[str], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says of the names, or else the recipe; None where neither does."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: recipe.get(name) if value is None else value for name, value in values.items()}


def _report_outcome(work: run.Run, outcome: run.Outcome, budget: float | None) -> int:
    done = f"after {outcome.epochs} of {work.settings.epochs} epochs; --resume goes on"
    if outcome.stopped:
        return _fail(f"interrupted {done}", 130)
    if not outcome.finished:
        print(f"the budget of {budget:g} s is spent {done}")
    if outcome.missing:
        print(f"left out for lack of matplotlib (pip install 'genmodels[plot]'): {', '.join(outcome.missing)}")
    _print_losses(outcome.test)
    return _print_paths(work)


def _sample(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    model: gm.Model = gm.load(run.find_model(arguments.model))
    labels = classes_in_turn(model, arguments.n)
    if arguments.labels is not None:
        labels = np.resize(np.array(arguments.labels, np.int64), arguments.n)
    images = model.sample(arguments.n, labels=labels, seed=arguments.seed)
    columns = math.ceil(math.sqrt(arguments.n))
    plot.save_grid(images, arguments.out, rows=math.ceil(arguments.n / columns), columns=columns)
    print(f"picture: {arguments.out}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    model: gm.Model = gm.load(run.find_model(arguments.model))
    data = arguments.data or run.trained_on(arguments.model)
    if data is None:
        raise ValueError(f"{arguments.model} does not say which data set it was trained on: give --data")
    train, test = datasets.load(data, root=arguments.data_root, verify=arguments.verify)
    x, y = (part[: arguments.limit] for part in test)
    scoring = run.scoring(data, train[0], x, model.config["input_shape"][0], arguments.n)
    asked = run.asked_of(arguments.model)
    binarize = asked.binarize if asked else None  # as while it was trained
    losses = model.evaluate(*run.inputs(model, datasets.binarize(scoring["x_test"], binarize, model.seed), y))
    _print_losses(losses)
    scoring["extractor"] = arguments.extractor or scoring["extractor"]
    scores = metrics.evaluate(model, **scoring, seed=arguments.seed)
    _print_scores(scores)
    if arguments.model.is_dir():
        found = {"data": data, "epochs": len(model.history), "losses": losses, **scores}
        with replacing(arguments.model / run.SCORES) as file:
            file.write(json.dumps(found, indent=2, allow_nan=False).encode() + b"\n")
        print(f"scores:  {arguments.model / run.SCORES}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    print(f"report: {plot.report(*arguments.runs, out=arguments.out, **_places(arguments))}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    if arguments.model is not None:
        return _info_of_model(run.find_model(arguments.model))
    rows = {"genmodels": gm.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name, value in {**rows, **gm.cpu_info(), "threads": gm.get_num_threads()}.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{_CPU_ROWS.get(name, name) + ':':<20}{shown}")
    return 0


def _info_of_model(path: Path) -> int:
    model: gm.Model = gm.load(path)
    print(f"{path}: {model.family}, {len(model.history)} epochs trained")
    for name, network in model.networks.items():
        print(f"{name + ':':<16}{network.parameter_count:,} parameters")
    print(model.summary())
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    _set_threads(arguments.threads)
    _log_to_stderr()
    given = {name: getattr(arguments, name) for name in _SWEEP_DEFAULTS}
    grid = sweep.open_grid(arguments.out, given, _SWEEP_DEFAULTS)
    options = {"checkpoint_every": arguments.checkpoint_every, **_places(arguments)}
    if arguments.workers == 1:
        rows = sweep.run_sweep(grid, arguments.out, **options)
    else:
        share = max(1, gm.get_num_threads() // arguments.workers)
        with sweep.worker_pool(arguments.workers) as pool:
            rows = sweep.run_sweep(grid, arguments.out, pool, threads=share, **options)
    print(f"results: {arguments.out / sweep.RESULTS}")
    print(f"page:    {arguments.out / sweep.PAGE}")
    failed = [row for row in rows if row["status"] != sweep.FINISHED]
    return _fail(f"{len(failed)} of {len(rows)} trials failed; the same command tries them again", 1) if failed else 0


def _print_losses(losses: Mapping[str, float]) -> None:
    for name, value in losses.items():
        print(f"test {name}: {value:.3f}")


def _print_scores(scores: Mapping[str, Any]) -> None:
    """A table; what the extractor cannot tell is left out."""
    for name, value in scores.items():
        if isinstance(value, float):
            print(f"{name + ':':<18}{value:.4g}")
        elif value is not None:
            print(f"{name + ':':<18}{' '.join(map(str, value)) if isinstance(value, list) else value}")


def _print_paths(work: run.Run) -> int:
    print(f"model:   {work.folder / run.MODEL}")
    print(f"picture: {work.folder / run.SAMPLES}")
    print(f"report:  {work.folder / run.REPORT}")
    return 0


def _set_threads(count: int | None) -> None:
    if count is not None:
        gm.set_num_threads(count)


def _log_to_stderr() -> None:
    """Shows the library's one line an epoch when no progress bar does."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


def _show_warning(message: Warning | str, *place: Any, **options: Any) -> None:
    """On one line, above a progress bar: where in the source it arose is of no use to who types a command."""
    text = f"genmodels: warning: {' '.join(str(message).split())}"
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)


def _fail(message: str, code: int) -> int:
    print(f"genmodels: {'' if code == 130 else 'error: '}{message}", file=sys.stderr)
    return code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _whole(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        return value

    return integer


def _data(text: str) -> str:
    """A data set's name; a file's with its folders, so that a run knows it wherever it is gone on with from."""
    try:
        name = datasets.check_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name if name in datasets.names() else os.path.abspath(name)


def _labels(text: str) -> list[int]:
    labels = _numbers(text)
    if not labels:
        raise argparse.ArgumentTypeError("at least one class is needed")
    if max(map(abs, labels)) >= 2**63:
        raise argparse.ArgumentTypeError(f"no model has so many classes: {text}")
    return labels


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be integers with commas between, not {text!r}") from None


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a time such as 90s, 30m or 2h, not {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
