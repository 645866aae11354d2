"""``heterodyne-nb demo``: the shipped experiment, from its file to a report, in one command."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import KEPT, add_command, add_overwrite, tell
from heterodyne_nb.cli.running import conclude, fit_and_save, kept_result

_STORY = """\
A simulated speckle experiment: a sample flows past a slower reference. As real data has it, some frames fell
into a beam dump (they are looked for in the data, and masked) and one detector sector is dead.
"""


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    parser = add_command(commands, "demo", run, "fit the example experiment that ships with the package")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("heterodyne_results"),
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    add_overwrite(parser, f"{KEPT}; those of an earlier demo are always replaced")


def run(args: Namespace) -> int:
    """Mask the example's bad frames, fit it, save the results, and set them beside the truth."""
    tell(args, _STORY)
    args.overwrite |= _holds_demo(args.output)
    finished = fit_and_save(args, demo_config(), "classical", args.output)
    code = conclude(args, finished)
    tell(args, f"open {finished.files[0].parent / 'report.html'} in a browser for the figures")
    tell(args, "\n" + against_truth(finished.best))
    return code


def _holds_demo(folder: Path) -> bool:
    """Whether the results in a folder are of an earlier demo, which comes out the same again."""
    from heterodyne_nb.config import ConfigManager
    from heterodyne_nb.result.provenance import sha256
    from heterodyne_nb.simulate import example_path

    kept = kept_result(folder)
    if kept is None or kept.provenance.get("source_sha256") != sha256(example_path()):
        return False
    config = kept.provenance.get("config") or {}
    wanted = ConfigManager.from_dict(demo_config()).to_dict()
    return all(
        config.get(name) == wanted[name] for name in set(wanted) - {"data"}
    )  # the package may have moved since


def demo_config() -> dict[str, Any]:
    """The configuration of the demo: the shipped file, its bad frames looked for and masked."""
    from heterodyne_nb.simulate import example_path

    return {
        "analysis_settings": {"mode": "heterodyne"},
        "data": {"file": str(example_path())},
        "masks": {"detect": True},
    }


def against_truth(result: Any) -> str:
    """A table of the fitted curves at mid-time, with their bands, beside what was simulated."""
    from heterodyne_nb.models import ModelFactory
    from heterodyne_nb.simulate import example_truth

    truth = example_truth()
    model = ModelFactory.create_model(truth["mode"])
    t = result.dataset["t"].values
    middle = t.size // 2
    true = model.curves(list(truth["parameters"].values()), t)
    lines = [f"At t = {t[middle]:g} s:{'':9}fitted   95 % band              simulated"]
    for name in result.curve_names:
        at = result.curve(name).isel(t=middle)
        band = f"{float(at['lower']):.4g} to {float(at['upper']):.4g}"
        unit = "" if model.curve_units[name] == "1" else f" ({model.curve_units[name]})"
        value = float(at["value"])
        lines.append(f"  {name + unit:<18}{value:>8.4g}   {band:<22} {true[name][middle]:.4g}")
    return "\n".join(lines)
