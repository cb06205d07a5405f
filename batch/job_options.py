"""What an operator may choose about jobs, and about the addresses users make us reach."""

from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import Field

from streaming.options import Options


class JobOptions(Options):
    """Files transcribed in the background: where they are kept, how many at once, for how long."""

    folder: str = ""
    """Where jobs and their audio are kept; empty: the user's data folder."""
    database: str = ""
    """`postgresql://…` or `sqlite:///…`; empty: a SQLite file in the folder."""
    audio: str = ""
    """A folder or any fsspec URL (s3://…) for audio; empty: in the folder."""
    running_max: Annotated[int, Field(ge=1, le=1000)] = 32
    """Jobs transcribed at once by this server; more wait their turn."""
    owner_running_max: Annotated[int, Field(ge=1, le=1000)] = 8
    """Jobs of one key transcribed at once; more wait, first come first served."""
    attempts_max: Annotated[int, Field(ge=1, le=1000)] = 20
    """Times that a job is begun before it fails: one that takes the server down must not for
    ever."""
    transcript_days: Annotated[float, Field(gt=0)] = 90.0
    """Days for which a job and its transcript are kept."""
    audio_hours: Annotated[float, Field(gt=0)] = 24.0
    """Hours for which audio is kept once it is no longer needed."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Time between two searches for what has been kept long enough."""
    webhook_tries_max: Annotated[int, Field(ge=1, le=100)] = 10
    """Times that a webhook is tried."""
    webhook_seconds_max: Annotated[float, Field(gt=0)] = 10.0
    """Time for a webhook to be answered."""
    webhook_wait_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Wait after the first failed try; each later one is twice as long."""

    @property
    def place(self) -> Path:
        if self.folder:
            return Path(self.folder).expanduser().absolute()
        return Path(platformdirs.user_data_dir("stentor"))

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.place / 'jobs.sqlite'}"

    @property
    def audio_place(self) -> str:
        return self.audio or str(self.place / "audio")


class FetchOptions(Options):
    """Addresses that users name: of audio, and of webhooks."""

    allow_private: bool = False
    """Reach private, loopback and link-local addresses as well."""
    bytes_max: Annotated[int, Field(ge=1)] = 5 << 30
    """Size of what is downloaded."""
    seconds_max: Annotated[float, Field(gt=0)] = 3600.0
    """Time of a whole download."""
    pause_seconds_max: Annotated[float, Field(gt=0)] = 30.0
    """Time in which nothing of a download arrives."""
    connect_seconds_max: Annotated[float, Field(gt=0)] = 10.0
    """Time for a name to be resolved and its address to answer."""
    redirects_max: Annotated[int, Field(ge=0, le=20)] = 5
    """Redirects that a download may follow."""
