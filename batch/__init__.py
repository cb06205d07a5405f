"""Many streams, one model: engine, scheduler, VAD, backends; and files, which arrive all at
once."""

import os

# From 1.29 on, onnxruntime makes an identifier of the machine, keeps it in the user's cache and
# reports to its maker what it runs. It looks here once, when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
