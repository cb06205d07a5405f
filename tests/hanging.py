"""`python -m tests.hanging serve …`: the product, with a model that hangs after its warm-up, and
less patience with it than the real one has."""

import sys

import batch.models
import batch.threads
import batch.underway
from batch.backends.base import Backend
from batch.options import ModelOptions
from server.__main__ import main
from tests.faults import Hanging


def run() -> int:
    load = batch.models.load

    def hanging(options: ModelOptions) -> Backend:
        return Hanging(load(options))

    batch.models.load = hanging
    vars(batch.underway)["STALLED_SECONDS"] = 1.0
    vars(batch.threads)["END_SECONDS_MAX"] = 0.5
    return main()


if __name__ == "__main__":
    sys.exit(run())
