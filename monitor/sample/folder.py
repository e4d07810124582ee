"""The sample as a folder: settings, logs and the cost export, written so that a second time changes nothing."""

import gzip
import tomllib
from pathlib import Path
from typing import Any

from monitor.config import DEFAULT_FILE
from monitor.errors import SettingsError
from monitor.folders import folder
from monitor.sample.bill import Tokens, export
from monitor.sample.bodies import line
from monitor.sample.traffic import PROFILES, WEEK, Profile, day_of_traffic

MARK = "# maas-monitor demo:"
"""How the settings of a sample begin: a folder with others is not ours to write into."""

COMPRESSED = WEEK[:4]
"""Days old enough to have been compressed by log rotation."""


def write_sample(target: Path) -> Path:
    """Write the sample below `target` and return its settings file; files that are there already stay as they are.

    SettingsError if the folder holds settings that are not a sample's.
    """
    settings = target / DEFAULT_FILE
    template = (folder("data") / "demo.toml").read_text("utf-8")
    if not settings.exists():
        _write(settings, template.encode())
    elif not settings.read_text("utf-8").startswith(MARK):
        raise SettingsError(str(target), "holds settings of your own", "name another folder for the demo")
    deployments = {table["name"]: table for table in tomllib.loads(template)["deployment"]}
    tokens: Tokens = {}
    for profile in PROFILES:
        tokens |= _write_logs(profile, deployments[profile.deployment], target)
    _write(target / "costs" / "actual-cost-2026-11.csv", export(deployments.values(), tokens))
    return settings


def _write_logs(profile: Profile, deployment: dict[str, Any], target: Path) -> Tokens:
    """Write one deployment's week, a file a day, and return what Azure will bill for it."""
    tokens: Tokens = {}
    for day in WEEK:
        traffic = day_of_traffic(profile, day)
        billed = [asked for asked in traffic if asked.billed]
        tokens[profile.deployment, day] = sum(one.prompt for one in billed), sum(one.completion for one in billed)
        data = b"".join(line(asked, deployment, profile.log) for asked in traffic)
        file = target / "logs" / deployment["workspace"] / deployment["name"] / f"{day}.jsonl"
        if day in COMPRESSED:
            _write(file.with_name(f"{file.name}.gz"), gzip.compress(data, compresslevel=6, mtime=0))
        else:
            _write(file, data)
    return tokens


def _write(file: Path, data: bytes) -> None:
    """Write a file unless it holds these bytes: an unchanged file is not read again."""
    if file.is_file() and file.read_bytes() == data:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
