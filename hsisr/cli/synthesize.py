"""`hsisr synthesize`: made-up scenes to train with, or to judge unmixing by."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsisr.cli import _options as options
from hsisr.cli import _shared as shared
from hsisr.errors import UsageError, require_known
from hsisr.wording import counted

if TYPE_CHECKING:
    from hsisr.unmixing.mixtures import Plan

KINDS = ("leaves", "mixtures")
_BANDS = 24
"""Of leaves."""
_ENDMEMBERS = 5
"""Of mixtures."""


def _fields() -> list[str]:
    # to ask hsisr.unmixing.mixtures for them would import torch
    return ["smooth", "dirichlet"]


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")],
    kind: Annotated[
        str,
        typer.Option(
            help="leaves: overlapping things, to train with; mixtures: of known materials, to "
            "judge unmixing by.",
            autocompletion=lambda: list(KINDS),
        ),
    ] = KINDS[0],
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 12,
    side: Annotated[int, typer.Option(min=16, help="Rows and columns of a scene.")] = 400,
    bands: Annotated[
        int | None,
        typer.Option(min=1, help="Bands of a scene. Default: 24; of mixtures 200."),
    ] = None,
    endmembers: Annotated[
        int | None,
        typer.Option("-p", "--endmembers", min=1, help="Of a mixture. Default: 5."),
    ] = None,
    library: Annotated[
        Path | None,
        typer.Option(help="Endmembers are drawn from this (.sli, CSV). Default: made up, smooth."),
    ] = None,
    fields: Annotated[
        str | None,
        typer.Option(
            help="Abundances: smooth (random fields) or dirichlet (each pixel by itself). "
            "Default: smooth.",
            autocompletion=_fields,
        ),
    ] = None,
    purity: Annotated[
        float | None,
        typer.Option(help="The largest abundance of every endmember. Default: 1, pure pixels."),
    ] = None,
    snr: Annotated[
        float | None,
        typer.Option(
            help="Signal to noise ratio in dB. Default: no noise.", callback=options.finite
        ),
    ] = None,
    gain: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Range of each pixel's brightness. Default: 1,1."),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("-s", "--scale", min=2, max=8, help="Also as seen this much more coarsely."),
    ] = None,
    degradation: Annotated[
        str | None,
        typer.Option(
            help="How the coarser scene is made: area (the default), bicubic or gaussian.",
            autocompletion=options.operators,
        ),
    ] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make up scenes, for more variety in training or as a truth to judge unmixing by.

    Leaves have random edges, sizes, textures and spectra, by the model of dead leaves. Mixtures are
    linear mixtures; endmembers and abundances are written beside, for `hsisr evaluate-unmix`.

    Example: hsisr synthesize -o mixtures --kind mixtures -p 4 --purity 0.85 --snr 30 --count 1
    """
    from hsisr.cli._mixtures import Mixtures
    from hsisr.files import explained, require_new

    require_known("kind", kind, KINDS)
    own: dict[str, object] = {
        "--endmembers": endmembers,
        "--library": library,
        "--fields": fields,
        "--purity": purity,
        "--snr": snr,
        "--gain": gain,
        "--scale": scale,
        "--degradation": degradation,
    }
    given = [option for option, value in own.items() if value is not None]
    if kind == KINDS[0] and given:
        what = f"{' and '.join(given)}: only mixtures have such options"
        raise UsageError(what, hint="--kind mixtures")
    maker: Leaves | Mixtures = Leaves(side, bands or _BANDS)
    if kind != KINDS[0]:
        plan, materials = _plan(side, fields, purity, gain), endmembers or _ENDMEMBERS
        maker = Mixtures(plan, materials, bands, library, snr, scale, degradation or "area")
    stems = [output / f"{kind}_{seed + index:03d}" for index in range(count)]
    with explained(output):
        output.mkdir(parents=True, exist_ok=True)
    require_new([file for stem in stems for file in maker.files(stem)], [], overwrite=overwrite)
    with shared.stoppable(f"again: {shared.again()}") as stopper:
        for index in shared.progress(stopper.heeded(range(count)), count, "making"):
            maker.make(stems[index], seed + index)
    shared.say(f"{counted(count, 'scene')} of {side} x {side} pixels in {output}")
    shared.say(f"Next: {maker.next_step(stems[0])}")


@dataclass(frozen=True)
class Leaves:
    """Writes scenes of dead leaves."""

    side: int
    bands: int

    def files(self, stem: Path) -> list[Path]:
        """The one file of a scene."""
        return [stem.with_name(f"{stem.name}.npy")]

    def make(self, stem: Path, seed: int) -> None:
        """Write a scene."""
        import numpy as np

        from hsisr.data.leaves import dead_leaves
        from hsisr.files import write_durably

        content = io.BytesIO()
        scene = dead_leaves(seed, side=self.side, bands=self.bands)
        np.save(content, np.rint(scene).astype(np.uint16))
        write_durably(self.files(stem)[0], content.getvalue())

    def next_step(self, stem: Path) -> str:
        """The command to run next."""
        return f"hsisr prepare {stem.parent}/*.npy ... --tokens 8 --validation SCENE -o RUN"


def _plan(side: int, fields: str | None, purity: float | None, gain: str | None) -> Plan:
    """How mixtures are made; raises `UsageError`."""
    from hsisr.unmixing.mixtures import FIELDS, Plan

    try:
        return Plan(
            side,
            side,
            fields or FIELDS[0],
            purity=1.0 if purity is None else purity,
            gain=_range(gain) if gain else (1.0, 1.0),
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _range(text: str) -> tuple[float, float]:
    """`0.7,1.2` as numbers."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"'{text}' is not a range", hint="--gain 0.7,1.2") from None
    return low, high
