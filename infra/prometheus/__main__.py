"""Prints the configurations, for a Prometheus that is not the local suite's: python -m infra.prometheus --help."""

from __future__ import annotations

import argparse
from pathlib import Path

from infra.prometheus import configuration


def main() -> None:
    """The configuration that is asked for, to stdout."""
    parser = argparse.ArgumentParser(prog="python -m infra.prometheus", description=__doc__)
    which = parser.add_subparsers(dest="which", required=True)
    scraping = which.add_parser("prometheus", help="what Prometheus is started with")
    scraping.add_argument("--consul", default="127.0.0.1:8500", help="host:port of the local Consul agent")
    scraping.add_argument("--alertmanager", action="append", default=[], help="host:port; may be repeated")
    scraping.add_argument("--itself", default="127.0.0.1:9090", help="host:port where this Prometheus listens")
    scraping.add_argument("--rules", type=Path, default=configuration.RULES, help="folder of the rule files")
    scraping.add_argument("--seconds", type=int, default=15, help="between two scrapes")
    alerting = which.add_parser("alertmanager", help="what Alertmanager is started with")
    alerting.add_argument("--webhook", default="", help="URL that alerts are posted to")
    told = parser.parse_args()
    if told.which == "alertmanager":
        print(configuration.alertmanager(told.webhook))
    else:
        print(configuration.prometheus(told.consul, told.alertmanager, told.itself, told.rules, told.seconds))


if __name__ == "__main__":
    main()
