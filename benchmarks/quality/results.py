"""The tables of docs/results.md and of the README, from the records that `recipes.py` and `study.py` keep.

    python benchmarks/quality/results.py

Puts the tables between their marks in the page, and in the README replaces the rows of the models that have a record.
Needs nothing but the records.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
Trial = dict[str, str]
Rows = Iterable[Sequence[str]]

# What the five reports and the examples say of a model, in their own measures.
CLAIMS = {
    "gan-mlm": "FID 18.24, IS 2.76 (Inception)",
    "vae-lstm": "FID 28.56 (Inception)",
    "vae-z10": "reconstruction error 0.092, of what it does not say",
    "wgan-mlm": "no digits",
}
STUDIES = ("mnist", "cifar10")
NONE = ""
TERMS = {"loss": "loss", "reconstruction": "reconstruction", "kl": "KL"}


def read(folder: Path) -> list[Record]:
    """All records: the models by name, of each ours by seed, then PyTorch's, then those of the recipe we recommend."""
    found = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    return sorted(found, key=place)


def place(one: Record) -> tuple[Any, ...]:
    return one["model"], one["recommended"], one["framework"], one["seed"]


def read_trials(folder: Path) -> list[Trial]:
    """The trials of all studies."""
    found = []
    for name in STUDIES:
        with (folder / f"study-{name}.csv").open(newline="") as file:
            found += list(csv.DictReader(file))
    return found


def measured_in(one: Trial) -> Record:
    """What a record has of the same: the scores, and the losses of an autoencoder on the test images."""
    scores = {name: float(one[f"score_{name}"]) for name in ("fd", "fd_floor", "fd_ceiling", "precision", "recall")}
    return {"scores": scores, "losses": {term: float(one[f"test_{term}"]) for term in TERMS if one[f"test_{term}"]}}


# ---- Cells ----


def trained(one: Record) -> str:
    """Epochs of how many, batch, and what is not the recipe's."""
    changes = {"rate": one["learning_rate"], "beta1": one["beta1"]}
    told = [f"{one['epochs']:g} of {one['epochs_asked']}", f"batch {one['batch_size']}"]
    told += ["conditional"] * one["conditional"]
    return ", ".join(told + [f"{what} {value:g}" for what, value in changes.items() if value is not None])


def who(one: Record) -> str:
    seed = f", seed {one['seed']}" if one["seed"] else ""
    recipe = ", recommended" if one["recommended"] else ""
    return ("PyTorch" if one["framework"] == "pytorch" else f"`{one['model']}`") + recipe + seed


def time(one: Record) -> str:
    minutes, seconds = divmod(round(one["seconds"]), 60)
    return f"{minutes} min {seconds:02d} s"


def distance(one: Record) -> str:
    scores = one["scores"]
    return f"{scores['fd']:.3g} ({scores['fd_floor']:.2g}, {scores['fd_ceiling']:.3g})"


def best(one: Record) -> str:
    """The epoch after which the distance was least, where it was taken on the way."""
    if not one["curve"]:
        return NONE
    epoch, fd = min(one["curve"].items(), key=lambda pair: pair[1])
    return f"{epoch} ({fd:.3g})"


def share(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def rarest(one: Record) -> str:
    """The class that the judge finds least often among the draws, and how often among the test images."""
    drawn, real = (np.array(part["class_histogram"]) for part in (one["scores"], one["real"]))
    least = int(drawn.argmin())
    return f"{least}: {share(drawn[least] / drawn.sum())} ({share(real[least] / real.sum())})"


def losses(one: Record) -> str:
    return ", ".join(f"{name} {one['losses'][term]:.4g}" for term, name in TERMS.items() if term in one["losses"])


# ---- Tables ----


def table(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def scores(records: Iterable[Record]) -> str:
    head = (
        *("model", "trained for", "time", "fd (floor, ceiling)", "best epoch (its fd)", "kd", "precision", "recall"),
        *("sure (real)", "rarest class (real)", "label accuracy", "the report's claim"),
    )
    rows = (
        [
            *(who(one), trained(one), time(one), distance(one), best(one), f"{one['scores']['kd']:.3g}"),
            *(f"{one['scores'][name]:.2f}" for name in ("precision", "recall")),
            *(
                f"{share(one['sure'])} ({share(one['real']['sure'])})",
                rarest(one),
                share(one["scores"]["label_accuracy"]),
            ),
            CLAIMS.get(one["model"], NONE) if one["framework"] == "genmodels" else NONE,
        ]
        for one in records
    )
    return table(head, rows)


def autoencoders(records: Iterable[Record]) -> str:
    rows = (
        [who(one), trained(one), losses(one), f"{one['reconstruction_error']:.4f}"]
        for one in records
        if "reconstruction_error" in one
    )
    return table(("model", "trained for", "on the test images", "reconstruction error"), rows)


def commands(records: Iterable[Record]) -> str:
    return table(
        ("model", "precision", "on", "command"),
        ([who(one), one["precision"], one["processor"], f"`{one['command']}`"] for one in records),
    )


def study(trials: Iterable[Trial]) -> str:
    head = ("data", "model", "pixels", "latent axes", "parameters", "fd (floor, ceiling)", "precision", "recall")
    rows = (
        [
            *(one["data"], one["model"], f"{one['image_size']} x {one['image_size']}", one["latent_dim"]),
            *(f"{int(one['parameters']):,}", distance(measured)),
            *(f"{measured['scores'][name]:.2f}" for name in ("precision", "recall")),
            losses(measured),
        ]
        for one, measured in ((one, measured_in(one)) for one in trials)
    )
    return table((*head, "on the test images"), rows)


TABLES = {"scores": scores, "autoencoders": autoencoders, "commands": commands}


def page(text: str, records: list[Record], trials: list[Trial]) -> str:
    """The text with a table between each pair of marks `<!-- scores -->` and `<!-- /scores -->`."""
    tables = {name: make(records) for name, make in TABLES.items()} | {"study": study(trials)}
    for name, made in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"the page has no place for the table {name!r}, between {begin!r} and {end!r}")
        before, _, rest = text.partition(begin)
        text = before + begin + "\n" + made + "\n" + end + rest.partition(end)[2]
    return text


def short_row(one: Record) -> str:
    """Of the README's table."""
    draws = f'<img src="docs/images/zoo/{one["model"]}.png" width="140" alt="25 draws of {one["model"]}">'
    told = f"{trained(one)}{'' if one['precision'] == 'float32' else ', ' + one['precision']}"
    counts = " + ".join(f"{count:,}" for count in one["parameters"])
    quality = f"{one['scores']['precision']:.2f}, {one['scores']['recall']:.2f}"
    cells = (f"`{one['model']}`", counts, told, f"{one['seconds']:.0f}", distance(one), quality, best(one), draws)
    return f"| {' | '.join(cells)} |"


def readme(text: str, records: Iterable[Record]) -> str:
    """The text with the rows that stand under the head of this table replaced, of two of a model by the last; a model
    without a row gets none."""
    for one in records:
        if one["framework"] == "genmodels" and one["seed"] == 0:
            pattern = rf"^\| `{re.escape(one['model'])}` \|.*docs/images/zoo/.*$"
            row = short_row(one)
            text = re.sub(pattern, lambda _, row=row: row, text, flags=re.MULTILINE)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, default=Path("docs/results"))
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    options = parser.parse_args()
    records, trials = read(options.records), read_trials(options.records)
    text = options.page.read_text(encoding="utf-8")
    options.page.write_text(page(text, records, trials), encoding="utf-8")
    text = options.readme.read_text(encoding="utf-8")
    options.readme.write_text(readme(text, records), encoding="utf-8")


if __name__ == "__main__":
    main()
