"""`hsisr models`: the pretrained models, what they are, and whether they are intact."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import ModelError
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.checkpoints.zoo import Entry

app = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})

_Id = Annotated[str, typer.Argument(metavar="ID", autocompletion=options.pretrained)]
_Zoo = Annotated[
    Path | None,
    typer.Option("--zoo", metavar="FOLDER", help="A folder of models, instead of those of hsisr."),
]


@app.callback(invoke_without_command=True)
def command(context: typer.Context) -> None:
    """List, check and export pretrained models.

    Example: hsisr models list
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@app.command("list")
def list_models(zoo: _Zoo = None, json: options.Json = False) -> None:
    """List the pretrained models.

    Example: hsisr models list
    """
    found = _entries(zoo)
    if json:
        models = [_facts(entry) for entry in found]
        shared.print_json({"schema": "hsisr/models/1", "models": models})
        return
    if not found:
        shared.say(f"no models in {_folder(zoo)}")
        return
    headings = ["", "scale", "parameters", "size", "takes", "trained on"]
    shared.print_lines(shared.table(headings, [_row(entry) for entry in found]))


@app.command()
def info(name: _Id, zoo: _Zoo = None, json: options.Json = False) -> None:
    """Print the card of a model.

    What it is made from, how it was made, its scores and its limits.

    Example: hsisr models info any-x4
    """
    entry = _entry(name, zoo)
    if json:
        shared.print_json({"schema": "hsisr/model/1", **_facts(entry)})
    else:
        shared.print_lines(entry.text().splitlines())


@app.command()
def verify(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="Default: every model.", autocompletion=options.pretrained
        ),
    ] = None,
    zoo: _Zoo = None,
) -> None:
    """Read the models whole and check them.

    Each must have its SHA-256, fit its network, and be the one its card tells of; else the exit
    code is 4.

    Example: hsisr models verify
    """
    found = _entries(zoo) if name is None else [_entry(name, zoo)]
    damaged = [entry.id for entry in found if not _intact(entry)]
    if damaged or not found:
        what = (
            f"{len(damaged)} of {counted(len(found), 'model')} damaged"
            if found
            else "holds no model"
        )
        raise ModelError(what, where=_folder(zoo), hint=None if zoo else "install hsisr again")


@app.command()
def path(name: _Id, zoo: _Zoo = None) -> None:
    """Print where the file of a model is.

    Example: hsisr models path any-x4
    """
    typer.echo(_entry(name, zoo).path)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder or a .safetensors file.")],
    name: Annotated[str, typer.Argument(metavar="ID", help="What to call it, e.g. any-x4.")],
    folder: Annotated[Path, typer.Argument(help="Where the folder ID is made.")],
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What `hsisr evaluate SCENE --model RUN --json` printed. Repeatable.",
        ),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--command",
            metavar="TEXT",
            help="A command that made it, for the card. Default: as the model tells. Repeatable.",
        ),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Weights in 16 bits: half the size, another SHA-256.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Copy a trained model into a folder of models, with a card.

    Example: hsisr models export runs/scene mine-x4 zoo --scores scores.json
    """
    from hsisr.checkpoints import checkpoint, modelcard, zoo
    from hsisr.checkpoints.header import MODEL
    from hsisr.model import find

    zoo.require_id(name)
    model = checkpoint.load(find(str(run), "sr"))
    with TemporaryDirectory() as scratch:
        if half:
            model = checkpoint.save_half(Path(scratch, MODEL), model)
        found = [modelcard.read_score(file, model.sha256) for file in scores or ()]
        card = modelcard.markdown(name, model, found, commands or ())
        entry = zoo.add(folder, name, model.path, card, overwrite=overwrite)
    shared.say(f"wrote {entry.path}")
    shared.say(f"wrote {entry.card}")


def _folder(given: Path | None) -> Path:
    from hsisr.checkpoints.zoo import ZOO

    return given or ZOO


def _entries(given: Path | None) -> list[Entry]:
    from hsisr.checkpoints.zoo import entries

    return entries(_folder(given))


def _entry(name: str, given: Path | None) -> Entry:
    from hsisr.checkpoints.zoo import find

    return find(name, _folder(given))


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "scale": entry.scale,
        "parameters": entry.header.parameters,
        "bytes": entry.path.stat().st_size,
        "sha256": entry.header.sha256,
        "file": str(entry.path),
        "card": entry.header.about,
    }


def _row(entry: Entry) -> list[str]:
    from hsisr.files import human_size

    about = entry.header.about
    bands, scenes = about.get("bands"), len(about.get("data", {}).get("scenes", ()))
    return [
        entry.id,
        f"x{entry.scale}",
        f"{entry.header.parameters:,}",
        human_size(entry.path.stat().st_size),
        counted(bands, "band") if bands else "any scene",
        counted(scenes, "scene"),
    ]


def _intact(entry: Entry) -> bool:
    """Check a model and print the outcome in one line."""
    from hsisr.checkpoints.zoo import verify

    try:
        verify(entry)
    except ModelError as error:
        shared.print_lines([f"{entry.id}  damaged: {error.what}"])
        return False
    shared.print_lines([f"{entry.id}  intact, SHA-256 {entry.header.sha256}"])
    return True
