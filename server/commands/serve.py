"""`stentor serve`: the configuration, one engine, the application, uvicorn."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from server.config import FILE, FILE_VARIABLE, PREFIX, Config, read
from server.flags import Parser, settings_of
from server.logs import set_up_logs

logger = logging.getLogger("server")

DESCRIPTION = f"""Run the server.

Every flag can also be given in a TOML file (--config, {FILE_VARIABLE}, or ./{FILE}) and in the
environment: --engine.batch-max is `batch_max` of the table [engine], and {PREFIX}ENGINE__BATCH_MAX.
Flags go over the environment, the environment over the file."""


def run(argv: Sequence[str]) -> int:
    parser = Parser(prog="stentor serve", usage="stentor serve [flags]", description=DESCRIPTION)
    parser.add_argument("--config", type=Path, metavar="FILE", help="Configuration in TOML.")
    parser.add_argument(
        "--print-config", action="store_true", help="Show the configuration as TOML and exit."
    )
    flags, own = settings_of(Config, parser, argv)
    config = read(flags, own.config)
    if own.print_config:
        sys.stdout.write(config.toml)
        return 0
    return serve(config)


def serve(config: Config) -> int:
    import uvicorn

    from batch.engine import Engine
    from batch.models import load
    from server.access.reach import check_reach, keyring_of, reach_of
    from server.app import create_app
    from server.draining import Doors, DrainingServer
    from server.http import HEAD_BYTES_MAX, BoundedHttp
    from server.memory import bound_arenas
    from server.metrics import Metrics
    from server.speechmatics import surroundings
    from server.tls import address_of
    from server.websocket import BoundedWebSocket

    bound_arenas()
    keyring = keyring_of(config)
    keyring.read()
    check_reach(config, keyring)
    tls = address_of(config)
    set_up_logs(config.log_level)
    surroundings.check_cpu()
    surroundings.note_licence(os.environ)
    surroundings.keep_temporary_files(config.transcriber.work)
    if keyring.is_without_keys and reach_of(config) == "insecure":
        logger.warning("there are no keys: everybody who reaches this server may use it")
    metrics = Metrics()
    backend = load(config.model_options)
    model = backend.info
    logger.info(
        "model %s (%s) on %s, %s: %s",
        *(model.name, model.backend, model.device, model.compute_type, model.why),
    )
    engine = Engine(backend, config.engine, metrics)
    app = create_app(config, engine, metrics, keyring)
    options = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=BoundedHttp,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        ws=BoundedWebSocket,
        ws_max_size=config.limits.message_bytes_max,
        ws_ping_interval=20.0,
        ws_ping_timeout=config.limits.pong_seconds_max,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=config.limits.shutdown_seconds_max,
    )
    doors = Doors(tls, app.state.call_listener if config.audiosocket else None)
    work = app.state.sessions, app.state.jobs
    server = DrainingServer(options, engine, work, config.limits.shutdown_seconds_max, doors)
    server.run()
    backend.close()
    return 0 if server.started else 1
