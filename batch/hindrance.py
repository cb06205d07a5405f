"""What keeps the engine from going on with jobs."""

from batch.engine import Engine


def hindrance(engine: Engine) -> str:
    """Empty where nothing does. For any thread."""
    if engine.is_failed:
        return "the engine has failed; the server must be started anew"
    if engine.is_stalled:
        return "the model does not answer"
    return ""
