"""Many streams, one model: engine, scheduler, VAD, backends; and files, which arrive all at
once."""
