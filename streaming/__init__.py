"""One live stream: audio in, events out. Pure: no event loop, thread, clock, socket or model."""
