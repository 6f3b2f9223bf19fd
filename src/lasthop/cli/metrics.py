"""`lasthop metrics`: what Prometheus would scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lasthop.api.client import Client

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@click.command("metrics")
@click.option("--openmetrics", is_flag=True, help="In OpenMetrics, not in Prometheus's text format.")
@click.pass_obj
def metrics(client: Client, *, openmetrics: bool) -> None:
    """Print all numbers of the director, in Prometheus's text format.

    node_exporter reads them from a file where Prometheus cannot reach the director itself:
    `lasthop metrics > FILE.$$ && mv FILE.$$ FILE.prom`.
    """
    click.echo(client.metrics(OPENMETRICS if openmetrics else ""), nl=False)
