"""What an operator may choose about the batch container."""

from typing import Annotated

from pydantic import Field

from streaming.options import Options


class TranscriberOptions(Options):
    """The batch container, `stentor transcriber`."""

    standard: str = ""
    """Model of the operating point `standard`; empty: that of `model`."""
    enhanced: str = ""
    """Model of the operating point `enhanced`; empty: that of `model`."""
    seconds_max: Annotated[float, Field(gt=0)] = 2 * 3600.0
    """Length of the audio."""
    bytes_max: Annotated[int, Field(ge=1)] = 4 << 30
    """Size of the file."""
    work: str = "/home/smuser/work"
    """Folder for audio that comes through a pipe; if it cannot be made, the system's for temporary
    files."""
