"""Cost exports as Azure delivers them into a container: files of rows and, written last, a manifest.json."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.sources.cost_samples import GUID, HEADER

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

Rows = Sequence[Sequence[str]]


def csv_bytes(rows: Rows, header: Sequence[str] = HEADER) -> bytes:
    """The rows below a header, as Azure writes them: UTF-8 with a byte order mark, CRLF."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode("utf-8-sig")


def parquet_bytes(rows: Rows, header: Sequence[str] = HEADER) -> bytes:
    """The rows as Parquet, every cell as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    columns = {name: [row[at] for row in rows] for at, name in enumerate(header)}
    pq.write_table(pa.table(columns, schema=pa.schema([(name, pa.string()) for name in header])), out)
    return out.getvalue()


@dataclass(kw_only=True)
class Export:
    """One scheduled export. Every `deliver` is a run: cumulative, month to date, as its rows are given.

    `overwrite`: dataOverwriteBehavior OverwritePreviousReport, where a run takes the place of the one before; else
    CreateNewReport, a new folder each. `name_first`: which of the two documented orders of folders it uses.
    `ending`: csv, csv.gz or parquet. `changes`: what the next manifests say otherwise; `dropped`: the numbers of
    files that do not arrive.
    """

    container: "ContainerClient"
    name: str = "daily"
    folder: str = "costs"
    overwrite: bool = False
    name_first: bool = True
    ending: str = "csv"
    header: Sequence[str] = tuple(HEADER)
    changes: dict[str, Any] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    runs: int = 0

    def deliver(self, submitted: datetime, parts: Sequence[Rows], month: date | None = None) -> str:
        """Write one run, a file for each of `parts`; return the name of its manifest."""
        self.runs += 1
        first = (month or submitted.date()).replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        folder, blobs = self._folder(first, last, submitted), []
        for number, rows in enumerate(parts):
            name, data = f"{folder}/part_{number}_0001.{self.ending}", self._data(rows)
            blobs.append({"blobName": name, "byteCount": len(data), "dataRowCount": len(rows)})
            if number not in self.dropped:
                self.container.upload_blob(name, data, overwrite=True)
        manifest = self._manifest(submitted, first, last, blobs) | self.changes
        self.container.upload_blob(f"{folder}/manifest.json", json.dumps(manifest).encode(), overwrite=True)
        return f"{folder}/manifest.json"

    def _folder(self, first: date, last: date, submitted: datetime) -> str:
        span = f"{first:%Y%m%d}-{last:%Y%m%d}"
        steps = [self.name, span] if self.name_first else [span, self.name]
        own = [] if self.overwrite else [f"{submitted:%Y%m%d%H%M}", f"00000000-0000-0000-0000-{self.runs:012}"]
        return "/".join([self.folder, *steps, *own])

    def _data(self, rows: Rows) -> bytes:
        if self.ending == "parquet":
            return parquet_bytes(rows, self.header)
        data = csv_bytes(rows, self.header)
        return gzip.compress(data) if self.ending.endswith(".gz") else data

    def _manifest(self, submitted: datetime, first: date, last: date, blobs: list[dict[str, Any]]) -> dict[str, Any]:
        exports = f"/subscriptions/{GUID}/providers/Microsoft.CostManagement/exports"
        behaviour = "OverwritePreviousReport" if self.overwrite else "CreateNewReport"
        return {
            "manifestVersion": "2024-04-01",
            "byteCount": sum(blob["byteCount"] for blob in blobs),
            "blobCount": len(blobs),
            "dataRowCount": sum(blob["dataRowCount"] for blob in blobs),
            "exportConfig": {
                "exportName": self.name,
                "resourceId": f"{exports}/{self.name}",
                "dataVersion": "2021-10-01",
                "apiVersion": "2025-03-01",
                "type": "ActualCost",
                "timeFrame": "MonthToDate",
                "granularity": "Daily",
            },
            "deliveryConfig": {
                "partitionData": True,
                "dataOverwriteBehavior": behaviour,
                "fileFormat": "Parquet" if self.ending == "parquet" else "Csv",
                "compressionMode": "gzip" if self.ending.endswith(".gz") else "None",
                "containerUri": self.container.url,
                "rootFolderPath": self.folder,
            },
            "runInfo": {
                "executionType": "Scheduled",
                "submittedTime": submitted.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.1234567Z"),
                "runId": f"00000000-0000-0000-0000-{self.runs:012}",
                "startDate": f"{first}T00:00:00",
                "endDate": f"{last}T00:00:00",
            },
            "blobs": blobs,
        }
