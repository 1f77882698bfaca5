"""What observes the suite when that is asked for: Prometheus and Alertmanager, and Grafana where one is installed.

`[observability]` of the suite's `bmase.toml` may have `alert_webhook` (a URL that alerts are posted to), `retention`
(how long Prometheus keeps what it scraped, e.g. "15d") and `scrape_seconds`.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path
from typing import Any

from infra import grafana
from infra.local.errors import SuiteError
from infra.local.place import Place
from infra.local.suite import Program, Suite
from infra.prometheus import configuration
from infra.runtime import binary

RUNTIME = ("prometheus", "alertmanager")
READY = {"prometheus": "/-/ready", "alertmanager": "/-/ready"}
TABLE = "observability"
SETTINGS: dict[str, Any] = {"alert_webhook": "", "retention": "15d", "scrape_seconds": 5}
# Before services: what is asked while they stop would only be alerts.
STAGE = 5
GRAFANA_HOME = Path("/usr/share/grafana")  # where its packages put it


def settings(place: Place) -> dict[str, Any]:
    """The table, over the defaults; raises `SuiteError` on what it does not know."""
    try:
        table = tomllib.loads(place.settings.read_text()).get(TABLE, {}) if place.settings.exists() else {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SuiteError(f"{place.settings} cannot be read: {error}", hint="mend it, or remove it") from error
    wrong = [name for name, value in table.items() if type(value) is not type(SETTINGS.get(name))]
    if wrong:
        known = ", ".join(f"{name} = {value!r}" for name, value in SETTINGS.items())
        raise SuiteError(f"{place.settings}: [{TABLE}] has {wrong[0]} = {table[wrong[0]]!r}", hint=f"it takes {known}")
    return SETTINGS | table


def installed_grafana() -> str:
    """The server of a Grafana on this machine; empty when there is none."""
    return shutil.which("grafana-server") or ""


def files(suite: Suite) -> dict[Path, str]:
    """What the programs read, by path; nothing when the suite is not observed."""
    if not suite.observed:
        return {}
    told = settings(suite.place)
    run = suite.place.run
    scraped = configuration.prometheus(
        suite.address("consul"),
        [suite.address("alertmanager")],
        suite.address("prometheus"),
        seconds=told["scrape_seconds"],
    )
    made = {run / "prometheus.yml": scraped}
    made[run / "alertmanager.yml"] = configuration.alertmanager(told["alert_webhook"])
    return made


def programs(suite: Suite) -> list[Program]:
    """None when the suite is not observed."""
    if not suite.observed:
        return []
    texts = {path.stem: (path, text) for path, text in files(suite).items()}
    listed = [_prometheus(suite, *texts["prometheus"]), _alertmanager(suite, *texts["alertmanager"])]
    return [*listed, _grafana(suite)] if suite.grafana else listed


def _prometheus(suite: Suite, path: Path, text: str) -> Program:
    command = (
        str(binary("prometheus")),
        f"--config.file={path}",
        f"--storage.tsdb.path={suite.place.data('prometheus')}",
        f"--storage.tsdb.retention.time={settings(suite.place)['retention']}",
        f"--web.listen-address={suite.address('prometheus')}",
        "--log.level=warn",
    )
    rules = "".join(rule.read_text() for rule in sorted(configuration.RULES.glob("*.yml")))
    return Program("prometheus", command, STAGE, _state(text + rules))


def _alertmanager(suite: Suite, path: Path, text: str) -> Program:
    command = (
        str(binary("prometheus-alertmanager")),
        f"--config.file={path}",
        f"--storage.path={suite.place.data('alertmanager')}",
        f"--web.listen-address={suite.address('alertmanager')}",
        "--cluster.listen-address=",  # alone: it would listen on all interfaces for others
        "--log.level=warn",
    )
    return Program("alertmanager", command, STAGE, _state(text))


def _state(text: str) -> dict[str, str]:
    """Part of the environment, so that a program whose files changed is another one and is started again."""
    return {"BMASE_CONFIGURATION": hashlib.sha256(text.encode()).hexdigest()[:16]}


def _grafana(suite: Suite) -> Program:
    host, port = suite.address("grafana").split(":")
    data = suite.place.data("grafana")
    server = {"HTTP_ADDR": host, "HTTP_PORT": port}
    environment = {
        **{f"GF_SERVER_{name}": value for name, value in server.items()},
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data / "log"),
        "GF_PATHS_PROVISIONING": str(grafana.PROVISIONING),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",  # it listens on loopback only; people look, nobody changes
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        grafana.SOURCE_VARIABLE: f"http://{suite.address('prometheus')}",
        grafana.DASHBOARDS_VARIABLE: str(grafana.DASHBOARDS),
    }
    home = ("--homepath", str(GRAFANA_HOME)) if GRAFANA_HOME.is_dir() else ()  # else it knows by itself
    return Program("grafana", (suite.grafana, *home), STAGE, environment)
