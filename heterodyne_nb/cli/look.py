"""``heterodyne-nb inspect``, ``plot`` and ``simulate``: what a file holds, a picture of it, and data to try things on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import (
    OK,
    add_command,
    add_opening,
    add_overwrite,
    numbers,
    opening,
    refuse_existing,
    tell,
)
from heterodyne_nb.errors import ConfigurationError, DataFormatError
from heterodyne_nb.text.escaping import printable

_FIGURES = (".html", ".png", ".svg", ".pdf")


def add_to(commands: Any) -> None:
    """Add the three commands to the program."""
    parser = add_command(commands, "inspect", inspect, "say what a data file or a result holds")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--datasets", action="store_true", help="list what is in an HDF5 file: names, shapes, types, units"
    )
    add_opening(parser)

    parser = add_command(
        commands,
        "plot",
        plot,
        "draw the two-time map or g2 of one bin, beside its fit where a result is given",
    )
    add = parser.add_argument
    add("file", type=Path, metavar="DATA")
    add(
        "--result",
        type=Path,
        metavar="RESULT",
        help="a fit of these data: data, model and residual are drawn",
    )
    add("--q", type=float, metavar="1/Å", help="the bin's q; the nearest is taken")
    add("--phi", type=float, metavar="DEGREES", help="its angle")
    add("--output", type=Path, required=True, metavar="FIGURE", help=f"file ending in {', '.join(_FIGURES)}")
    add_opening(parser)
    add_overwrite(parser, "replace the output if it exists")

    parser = add_command(
        commands, "simulate", simulate, "write a simulated experiment, speckle noise included"
    )
    add = parser.add_argument
    add("output", type=Path, metavar="OUT", help="an .h5 file (APS-U layout), .nc or .zarr")
    add("--mode", default="heterodyne", metavar="MODE", help="model (default: heterodyne)")
    add(
        "--parameters",
        type=numbers,
        metavar="LIST",
        help="its parameters in published order; the defaults if not given",
    )
    add("--q", type=numbers, default=(0.01,), metavar="LIST", help="1/Å (default: 0.01)")
    add(
        "--phi",
        type=numbers,
        default=(0.0, 30.0, 60.0, 90.0),
        metavar="LIST",
        help="degrees (default: 0,30,60,90)",
    )
    add("--frames", type=int, default=200, metavar="N", help="number of frames (default: 200)")
    add("--dt", type=float, default=0.5, metavar="SECONDS", help="frame time (default: 0.5)")
    add("--pixels", type=int, default=1000, metavar="N", help="speckles in a bin (default: 1000)")
    add("--contrast", type=float, default=0.3, metavar="C", help="speckle contrast (default: 0.3)")
    add("--gap", type=float, metavar="Å", help="gap of the shear cell, for laminar_flow")
    add("--seed", type=int, default=0, metavar="N", help="same seed, same data (default: 0)")
    add_overwrite(parser, "replace the output if it exists")


def inspect(args: Namespace) -> int:
    """Print what is in the file."""
    lines = _datasets(args.file) if args.datasets else _contents(args)
    for line in lines:
        print(printable(line, keep="\n"))
    return OK


def _contents(args: Namespace) -> Iterator[str]:
    from heterodyne_nb.analysis.loading import describe
    from heterodyne_nb.data import list_analyses, open_dataset
    from heterodyne_nb.data.dataset import live_bins, stack_bins
    from heterodyne_nb.result import FitResult

    if (result := _result(args.file, FitResult)) is not None:
        yield result.summary()
        return
    with open_dataset(args.file, **opening(args)) as data:
        yield f"layout: {data.attrs.get('layout', 'a dataset')}"
        stacked = stack_bins(data, drop_dead=False)
        alive, count = int(live_bins(stacked).sum()), stacked.sizes["bin"]
        yield f"bins: {count}" + ("" if alive == count else f", {count - alive} of them without data")
        yield from describe(data)
        if "tau" in data.coords and "g2" in data:
            tau = data["tau"].values
            yield f"g2: {tau.size} lags from {tau.min():.4g} to {tau.max():.4g} s"
        for name, row in data.xpcs.metadata().iterrows():
            yield f"{name}: {row['value']} {row['unit']}".rstrip()
        if told := data.attrs.get("units_assumed"):
            yield f"units assumed, for the file does not say: {told}"
    if args.file.suffix.lower() in (".h5", ".hdf", ".hdf5", ".nxs") and (several := list_analyses(args.file)):
        yield f"analyses (--analysis chooses): {', '.join(several)}"


def _result(path: Path, kind: Any) -> Any:
    """The result a file holds, or None where it holds data."""
    try:
        return kind.load(path) if path.suffix in (".nc", ".zarr") else None
    except DataFormatError:
        return None


def _datasets(path: Path) -> Iterator[str]:
    import h5py

    from heterodyne_nb.data.formats.hdf import open_h5

    with open_h5(path) as h5file:
        found: list[str] = []

        def look(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                unit = item.attrs.get("units", "")
                unit = unit.decode(errors="replace") if isinstance(unit, bytes) else unit
                found.append(f"/{name}  {item.shape}  {item.dtype}  {unit}".rstrip())

        h5file.visititems(look)
        yield from found


def plot(args: Namespace) -> int:
    """Draw one bin to a file."""
    from heterodyne_nb import plots
    from heterodyne_nb.data import open_dataset
    from heterodyne_nb.data.dataset import live_bins, stack_bins
    from heterodyne_nb.result import FitResult

    if args.output.suffix.lower() not in _FIGURES:
        raise ConfigurationError(
            "is no name of a figure", where=str(args.output), expected=f"an ending of {', '.join(_FIGURES)}"
        )
    refuse_existing(args.output, args.overwrite)
    with open_dataset(args.file, **opening(args)) as data:
        choice: dict[str, Any] = {
            name: getattr(args, name) for name in ("q", "phi") if getattr(args, name) is not None
        }
        if not choice and "c2" in data:
            choice = {"bin": int(live_bins(stack_bins(data, drop_dead=False)).argmax())}
        if args.result is not None:
            figure = plots.comparison(data, FitResult.load(args.result), **choice)
        elif "c2" in data:
            figure = plots.c2(data, **choice)
        else:
            figure = plots.g2_grid(data)
        save = plots.save_html if args.output.suffix.lower() == ".html" else plots.save_png
        save(figure, args.output)
    tell(args, f"wrote {args.output}")
    return OK


def simulate(args: Namespace) -> int:
    """Write a simulated experiment."""
    from heterodyne_nb.data import write_apsu, write_dataset
    from heterodyne_nb.models import ModelFactory
    from heterodyne_nb.simulate import speckle

    suffix = args.output.suffix.lower()
    if suffix not in (".h5", ".hdf", ".nc", ".zarr"):
        raise ConfigurationError(
            "is no name of a data file", where=str(args.output), expected="an ending of .h5, .hdf, .nc, .zarr"
        )
    refuse_existing(args.output, args.overwrite)
    model = ModelFactory.create_model(args.mode)
    values = args.parameters or tuple(spec.default for spec in model.parameters)
    data = speckle(
        model.name,
        values,
        q=args.q,
        phi=args.phi,
        n_frames=args.frames,
        dt=args.dt,
        n_pixels=args.pixels,
        contrast=args.contrast,
        gap=args.gap,
        seed=args.seed,
    )
    (write_dataset if suffix in (".nc", ".zarr") else write_apsu)(data, args.output)
    tell(args, f"wrote {args.output}")
    for name, value in zip(model.parameter_names, values, strict=True):
        tell(args, f"  {name} = {value:g}")
    return OK
