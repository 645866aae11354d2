"""``heterodyne-nb batch``: one configuration, many runs, one table."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from heterodyne_nb.cli.arguments import FAILED, INTERRUPTED, OK, add_command, add_workers, configured, tell
from heterodyne_nb.cli.running import observers
from heterodyne_nb.errors import ConfigurationError, MissingExtraError
from heterodyne_nb.text.escaping import printable


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    about = "fit many runs by one configuration into one table; run again, it goes on where it was"
    parser = add_command(commands, "batch", run, about)
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="files or patterns in quotes ('runs/*.hdf'); @FILE: a list of them",
    )
    add("--config", type=Path, required=True, metavar="CONFIG", help="configuration of every fit")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the table, the fits and the journal",
    )
    add_workers(parser)
    add(
        "--slurm", action="store_true", help="workers are jobs of SLURM, as your jobqueue.yaml describes them"
    )
    add(
        "--follow",
        type=float,
        nargs="?",
        const=float("inf"),
        metavar="SECONDS",
        help="fit new files as they appear, until none has for so many seconds (alone: until Ctrl-C)",
    )
    add(
        "--job-script",
        type=Path,
        metavar="FILE",
        help="only write a SLURM job array that does the same without dask",
    )
    add("--no-table", action="store_true", help="write no table, for one of many processes of a campaign")


def run(args: Namespace) -> int:
    """Fit the runs and write the table."""
    from heterodyne_nb.analysis.campaign import Campaign, find_runs, job_script
    from heterodyne_nb.files import write_text
    from heterodyne_nb.progress import StopToken, stopped_by_signals

    config = configured(args.config, {})
    patterns = [line for word in args.runs for line in (_listed(word) if word.startswith("@") else [word])]
    found = find_runs(patterns)
    if not found and args.follow is None:
        raise ConfigurationError(
            "no file matches", where=" ".join(args.runs), hint="patterns stand in quotes"
        )
    if args.job_script is not None:
        script = job_script(found, args.config, args.output, at_once=args.workers)
        write_text(args.job_script, script)
        tell(args, f"wrote {args.job_script}: sbatch it, then run heterodyne-nb batch again for the table")
        return OK
    stop = StopToken()
    with observers(args) as watching, _workers(args, config) as who:

        def told(event: Any) -> None:
            tell(args, event.message)
            for one in watching:
                one(event)

        campaign = Campaign(config, args.output, told, stop)
        with stopped_by_signals(stop):
            table = campaign.run(
                partial(find_runs, patterns), **who, follow=args.follow, table=not args.no_table
            )
    failed = [name for name, one in campaign.records.items() if one["status"] == "failed"]
    if table is not None:
        tell(args, f"wrote table.nc, table.csv ({table.sizes['run']} runs) in {args.output}")
    for name in failed:
        why = campaign.records[name]["message"].splitlines()[0]
        print(printable(f"failed: {name}: {why}"), file=sys.stderr)
    if stop.reason:
        print("interrupted: the same command goes on", file=sys.stderr)
        return INTERRUPTED
    return FAILED if failed else OK


def _listed(word: str) -> list[str]:
    try:
        return [line for line in Path(word[1:]).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the list cannot be read: {error}", where=word[1:]) from error


@contextmanager
def _workers(args: Namespace, config: Any) -> Any:
    """Who does the fits: as flags say, else as the configuration does."""
    where = config.settings.execution
    if not args.slurm:
        executor = args.dask or (None if args.workers else where.executor)
        yield {"executor": executor, "workers": args.workers or where.workers}
        return
    try:
        from dask_jobqueue import SLURMCluster
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError(
            "--slurm needs dask-jobqueue", hint="pip install 'heterodyne_nb[slurm]', or use --job-script"
        ) from error
    with SLURMCluster() as cluster, Client(cluster) as client:
        cluster.scale(jobs=args.workers or 1)
        yield {"executor": client, "workers": None}
