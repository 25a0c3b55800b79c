"""Run one command as shares on the workers of a Dask cluster that see the same files."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

_LOCAL = "local"


def spread(address: str, threads: int | None, shard: str | None) -> None:
    """Do the present command on a cluster: at an address, or here, as `local` or `local:N`.

    Raises `OutputError` where a share failed, `UsageError` without Dask or without a cluster, and
    for a `shard`, which the cluster has to choose.
    """
    if shard is not None:
        raise UsageError("--dask shares the work by itself", hint="leave out --shard")
    arguments = shared.arguments_without("--dask")
    with ExitStack() as stack:
        client = _client(address, stack)
        workers = list(client.scheduler_info(n_workers=-1)["workers"])
        if address.startswith(_LOCAL) and threads is None:
            cores = max(1, len(os.sched_getaffinity(0)) // len(workers))
            arguments = [*arguments, "--threads", str(cores)]
        _work(client, arguments, workers)


def _client(address: str, stack: ExitStack) -> Client:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UsageError(
            "--dask needs Dask, which is not installed", hint="pip install 'hsisr[dask]'"
        ) from None
    if not address.startswith(_LOCAL):
        try:
            return stack.enter_context(Client(address, timeout=10))
        except (OSError, ValueError) as error:
            raise UsageError(f"no Dask cluster at {address}", hint="--dask local") from error
    _, _, count = address.partition(":")
    if count and not count.isdecimal():
        raise UsageError(f"no cluster '{address}'", hint="--dask local:4")
    cluster = LocalCluster(
        n_workers=int(count) if count else None, threads_per_worker=1, dashboard_address=None
    )
    return stack.enter_context(Client(stack.enter_context(cluster)))


def _work(client: Client, arguments: Sequence[str], workers: Sequence[str]) -> None:
    from distributed import as_completed

    shares = {
        client.submit(
            *(_share, [*arguments, "--shard", f"{i}/{len(workers)}"], Path.cwd()),
            workers=[worker],
            pure=False,
        ): i
        for i, worker in enumerate(workers, 1)
    }
    hint = f"what is done is kept; go on with: {shared.again()}"
    with shared.stoppable(hint) as stopper:
        ended = stopper.heeded(as_completed(shares))
        for future in shared.progress(ended, len(workers), "shares"):
            if future.result():
                raise OutputError(
                    f"share {shares[future]} of {len(workers)} ended with exit code "
                    f"{future.result()}; its worker's output tells why",
                    hint=hint,
                )


def _share(arguments: Sequence[str], folder: Path) -> int:
    """Run one share in a worker; returns its exit code."""
    from hsisr.cli import main

    # relative paths mean what they meant where the command was given
    os.chdir(folder)
    return main(["--quiet", *arguments])
