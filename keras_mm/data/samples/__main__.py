"""`python -m keras_mm.data.samples`: writes the sample data, or prints its ceilings."""

from __future__ import annotations

import argparse
import json

from keras_mm.data.samples.ceilings import sample_ceilings
from keras_mm.data.samples.tables import write_sample_data


def main() -> None:
    """Parses the command line and runs it."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_mm.data.samples",
        description="Writes the sample data as Parquet files, or prints its ceilings.",
    )
    parser.add_argument(
        "folder", nargs="?", help="folder to write train.parquet and test.parquet to"
    )
    parser.add_argument(
        "--ceilings", action="store_true", help="print the best possible scores for partial inputs"
    )
    arguments = parser.parse_args()
    if arguments.ceilings:
        print(json.dumps(sample_ceilings(), indent=2))
    if arguments.folder:
        for path in write_sample_data(arguments.folder):
            print(f"{path}: {path.stat().st_size} bytes")
    elif not arguments.ceilings:
        parser.error("pass a folder to write to, or --ceilings")


if __name__ == "__main__":
    main()
