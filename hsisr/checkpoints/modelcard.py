"""The card of a pretrained model: what it is, what it was made from, how good it is where.

Source: Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hsisr.checkpoints.checkpoint import Card, Checkpoint
from hsisr.errors import InputError, ModelError
from hsisr.files import human_size
from hsisr.wording import counted
from hsisr_models.networks import TokenNetwork

_SCHEMA = "hsisr/evaluate/1"
_LICENCE = (
    "The weights are under the MIT licence, as hsisr is. The scenes they were trained on stay "
    "their owners' and are no part of the file."
)


@dataclass(frozen=True)
class Score:
    """How a model and bicubic interpolation did on one scene."""

    scene: str
    degradation: str
    model: Mapping[str, float]
    bicubic: Mapping[str, float]

    @property
    def gain(self) -> float:
        """In PSNR over bicubic interpolation, dB."""
        return self.model["psnr"] - self.bicubic["psnr"]


def read_score(path: Path, sha256: str) -> Score:
    """The score of the model with that SHA-256 in what `hsisr evaluate --json` printed.

    Raises `InputError` if the file is something else, or holds other models' scores only.
    """
    try:
        table = json.loads(path.read_bytes())
        if table["schema"] != _SCHEMA:
            raise ValueError(f"schema {table['schema']!r}")
        names = {model["name"] for model in table["models"] if model["sha256"] == sha256}
        rows = {row["name"]: _numbers(row) for row in table["rows"]}
        ours = [rows[name] for name in names]
        scene, operator = Path(table["truth"]).name, str(table["degradation"])
        bicubic = rows["bicubic"]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        what = f"is not what hsisr evaluate --json prints ({_SCHEMA}): {error}"
        raise InputError(what, where=path) from error
    if not ours:
        raise InputError(
            f"holds no score of the model with SHA-256 {sha256[:12]}...",
            where=path,
            hint="hsisr evaluate SCENE --scale N --model RUN --json > scores.json",
        )
    return Score(scene, operator, ours[0], bicubic)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in ("psnr", "sam")}


def markdown(name: str, model: Checkpoint, scores: Sequence[Score], commands: Sequence[str]) -> str:
    """The card of the model called `name`, with its `scores` and the commands it came of.

    Raises `ModelError` if the model says of its training data what hsisr does not understand.
    """
    try:
        return "\n\n".join(_paragraphs(name, model, scores, commands)) + "\n"
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = f"its account of its training is malformed: {error!r}"
        raise ModelError(what, where=model.path) from error


def _paragraphs(
    name: str, model: Checkpoint, scores: Sequence[Score], commands: Sequence[str]
) -> list[str]:
    card = model.card
    return [
        f"# {name}",
        f"Sharpens a hyperspectral scene {card.scale} times. It takes {_fits(model)}.",
        f"    hsisr upscale scene.hdr --scale {card.scale} --model {name}",
        _table(("", ""), _facts(model)),
        "## Scores",
        *_scores(card, scores),
        "## Training data",
        *_data(card),
        "## How it was made",
        *_making(name, card, commands),
        "## Limits",
        _limits(card, scores),
        "## Licence",
        _LICENCE,
    ]


def _fits(model: Checkpoint) -> str:
    if isinstance(model.resolver().network, TokenNetwork):
        return "scenes of any sensor, whatever their number of bands"
    return f"scenes with the {counted(model.card.bands, 'band')} that it was trained on"


def _facts(model: Checkpoint) -> Iterator[tuple[str, str]]:
    card = model.card
    parameters = sum(tensor.numel() for tensor in model.tensors.values())
    if card.network:
        numbers = ", ".join(f"{key} {number}" for key, number in card.network.numbers.items())
        yield "network", f"`{card.network.name}` {numbers}".strip()
    yield "scale", str(card.scale)
    yield "parameters", f"{parameters:,}"
    yield "size", human_size(model.path.stat().st_size)
    yield "trained on scenes degraded by", card.degradation
    yield "made by", card.made_by
    yield "SHA-256 over weights and description", f"`{model.sha256}`"


def _scores(card: Card, scores: Sequence[Score]) -> Iterator[str]:
    if not scores:
        yield "None were measured on whole scenes."
    else:
        yield (
            "Each scene is degraded, sharpened by the model, and compared with itself; bicubic is "
            "interpolation of the same pixels."
        )
        known = {name for scene in card.data.get("scenes", ()) for name in _spellings(scene)}
        yield _table(
            ("scene", "degraded by", "PSNR dB", "bicubic", "gain", "SAM °", "bicubic"),
            (_row(score, seen=score.scene in known) for score in scores),
        )
        unseen = [score for score in scores if score.scene not in known]
        yield f"Mean gain on scenes that it never saw: {_gains(unseen) or 'not measured'}."
    if card.scores:
        values = ", ".join(f"{key} {value:.4g}" for key, value in card.scores.items())
        kind = " (of the tokens, the peak being the spread of the first)" if not card.bands else ""
        yield f"In validation, by which its weights were chosen: {values}{kind}."


def _spellings(scene: Mapping[str, Any]) -> tuple[str, str]:
    """The names by which the score of a training scene may call it: ENVI has two files."""
    file = str(scene["file"])
    return file, f"{Path(file).stem}.hdr"


def _row(score: Score, *, seen: bool) -> tuple[str, ...]:
    return (
        score.scene + (" (seen in training)" if seen else ""),
        score.degradation,
        f"{score.model['psnr']:.2f}",
        f"{score.bicubic['psnr']:.2f}",
        f"{score.gain:+.2f}",
        f"{score.model['sam']:.3f}",
        f"{score.bicubic['sam']:.3f}",
    )


def _gains(scores: Sequence[Score]) -> str:
    """The mean gain for each degradation."""
    operators = dict.fromkeys(score.degradation for score in scores)
    return ", ".join(
        f"{fmean(score.gain for score in scores if score.degradation == operator):+.2f} dB "
        f"({operator})"
        for operator in operators
    )


def _use(scene: Mapping[str, Any]) -> str:
    """A scene of the training data, and what it was for, if it was used whole."""
    file = str(scene["file"])
    return f"{file} (validation)" if scene.get("split") == "validation" else file


def _data(card: Card) -> Iterator[str]:
    scenes = card.data.get("scenes", ())
    if not scenes:
        yield "The model does not say."
        return
    rows = ((_use(scene), _shape(scene), human_size(scene["bytes"])) for scene in scenes)
    count = counted(len(scenes), "scene")
    yield f"{count}; where none is marked, parts of them served for validation."
    yield _table(("file", "bands x rows x columns", "size"), rows)
    others = {key: value for key, value in card.data.items() if key != "scenes"}
    if others:
        yield ", ".join(f"{key}: {json.dumps(value)}" for key, value in others.items())


def _shape(scene: Mapping[str, Any]) -> str:
    return " x ".join(str(side) for side in scene["shape"])


def _making(name: str, card: Card, commands: Sequence[str]) -> Iterator[str]:
    lines = commands or _commands(name, card)
    yield "\n".join(f"    {line}" for line in lines) or "The commands were not kept."
    if card.recipe:
        yield f"`{name}.toml`, the recipe:"
        yield f"```toml\n{toml(card.recipe)}```"


def _commands(name: str, card: Card) -> list[str]:
    """The commands that train such a model again, if the card holds all they need."""
    files = [str(scene["file"]) for scene in card.data.get("scenes", ())]
    # a published protocol names its scenes otherwise, and cuts them
    if not files or not card.bands or card.data.get("protocol", "scenes") != "scenes":
        return []
    degraded = ["--scale", str(card.scale), "--degradation", card.degradation]
    cut = []
    if "shares" in card.data:
        cut = ["--split", ",".join(map(str, card.data["shares"])), "--gap", str(card.data["gap"])]
    recipe = ["--recipe", f"{name}.toml"]
    prepare = ["prepare", *files, *degraded, *cut, "-o", "run"]
    first = ["train-unmix", "run", *recipe, *_chosen(card.data, "unmixing_")]
    choice = card.data.get("unmixing", "auto") if card.unmixer else "none"
    second = ["train-sr", "run", *recipe, *([] if choice == "auto" else ["--unmix", choice])]
    second += _chosen(card.data)
    steps = [prepare, *([first] if choice == "auto" else []), second]
    return [shlex.join(["hsisr", *step]) for step in steps]


def _chosen(data: Mapping[str, Any], step: str = "") -> list[str]:
    """The options of a training that are in no recipe, where they differ from the defaults."""
    seed, resolution = data.get(f"{step}seed", 0), data.get(f"{step}resolution", "low")
    options = ["--seed", str(seed)] if seed else []
    return options if resolution == "low" else [*options, "--on", str(resolution)]


def toml(tables: Mapping[str, Any], path: str = "") -> str:
    """Nested tables as TOML; what is None, TOML cannot say, and is left out."""
    inner = {key: value for key, value in tables.items() if isinstance(value, Mapping)}
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in tables.items()
        if key not in inner and value is not None
    ]
    if path and (lines or not inner):
        lines.insert(0, f"[{path}]")
    chapters = ["".join(f"{line}\n" for line in lines)] if lines else []
    chapters += [toml(value, f"{path}.{key}" if path else key) for key, value in inner.items()]
    return "\n".join(filter(None, chapters))


def _limits(card: Card, scores: Sequence[Score]) -> str:
    worse = [score for score in scores if score.gain < 0]
    points = [
        "It adds the detail that is likely, not detail that was measured. Nothing smaller than an "
        "input pixel is proven by its output.",
        f"It learned to undo `{card.degradation}`. A sensor blurs in its own way; the further from "
        "that, the less is gained. `hsisr upscale` checks itself on every scene.",
    ]
    if scores:
        points.append(
            "The scores above are of those scenes, and promise nothing of another. Of the "
            f"{counted(len(scores), 'row')}, bicubic interpolation has the higher PSNR in "
            f"{len(worse)}."
        )
    return "\n".join(f"- {point}" for point in points)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot break out of its cell, whatever a file is called."""
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown.replace("|", "\\|")
