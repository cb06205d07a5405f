"""DBOS Transact: the queue of jobs, their checkpoints, and their recovery after a crash.

DBOS keeps one set of workflows in a process, so there is one driver at a time. Its tables hold ids
of jobs, names of steps and whether they were done; never audio, text or an address.

DBOS is started from a thread without an event loop, so that it makes a loop of its own: the
engine's loop, which serves live speech, then runs none of it.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, Queue, SetEnqueueOptions, SetWorkflowID
from dbos import error as dbos_error
from sqlalchemy.exc import SQLAlchemyError

from batch.database import open_engine
from batch.job import JobsUnavailable
from batch.job_options import JobOptions
from batch.queue_worker import QueueWorker
from batch.steps import Steps

NAME: Final = "stentor"
SCHEMA: Final = "stentor_workflows"  # in PostgreSQL
QUEUE: Final = "jobs"
JOB: Final = "job"
# A job wakes the queue where it is submitted. A poll finds what another server has left, and what
# waited for its turn; it costs about 3 ms, also when there are no jobs.
POLL_SECONDS: Final = 0.25
THREADS_MAX: Final = 8  # each of them competes with the engine's loop for the interpreter
# Raised when the steps or their order change: jobs begun before are then begun anew.
STEPS_VERSION: Final = "1"
ACTIVE: Final = ["ENQUEUED", "PENDING", "DELAYED"]

IN_USE = threading.Lock()  # DBOS is one for the whole process

Result = TypeVar("Result")
Workflow = Callable[[str], Coroutine[Any, Any, None]]

logger = logging.getLogger("batch.driver")


class StepFailed(Exception):
    """A step could not even end its job, most likely because the database does not answer."""


class Driver:
    """All methods block and are called from threads without an event loop."""

    def __init__(
        self,
        url: str,
        steps: Steps,
        options: JobOptions,
        node: str,
        ended: Callable[[str], None],
    ) -> None:
        """`ended` is told of a job that is over, in a thread of its own."""
        self.url = url
        self.steps = steps
        self.options = options
        self.node = node
        self.ended = ended
        self.workflows_url = url
        if url.startswith("sqlite"):
            # Beside the rows: their writers do not wait for each other.
            file = Path(sa.make_url(url).database or "")
            self.workflows_url = (
                f"sqlite:///{file.with_name(file.stem + '-workflows' + file.suffix)}"
            )
        self.loop: asyncio.AbstractEventLoop | None = None
        self.engine: sa.Engine | None = None
        self.worker: QueueWorker | None = None
        self.is_open = False
        self.beginning = asyncio.Lock()  # of the loop that there is between a start and a close
        self.run_job: Workflow = self._job
        self.run_tell: Workflow = self._tell

    def start(self) -> None:
        if not IN_USE.acquire(blocking=False):
            raise JobsUnavailable("there are jobs in this process already")
        quiet = logging.getLogger("dbos")
        if not quiet.handlers:
            quiet.addHandler(logging.NullHandler())  # else it writes to stderr in its own way
            quiet.addFilter(_is_news)
            quiet.setLevel(logging.WARNING)
        try:
            dbos = DBOS(config=self._config())
            DBOS.listen_queues([])  # it would poll the queue beside the worker
            self._register()
            DBOS.launch()
            self.worker = QueueWorker(dbos, self._make_queue())
        except BaseException:
            self._shut()
            raise
        self.is_open = True

    @contextmanager
    def _client(self) -> Iterator[DBOSClient]:
        """To reach the queue without running anything."""
        client = DBOSClient(
            system_database_url=self.workflows_url,
            system_database_engine=self.engine,
            dbos_system_schema=SCHEMA,
            application_name=NAME,
        )
        try:
            yield client
        finally:
            client.destroy()

    def _make_queue(self) -> Queue:
        return DBOS.register_queue(
            QUEUE,
            worker_concurrency=self.options.running_max,
            partition_concurrency=min(self.options.owner_running_max, self.options.running_max),
            polling_interval_sec=POLL_SECONDS,
            on_conflict="always_update",
        )

    def _config(self) -> DBOSConfig:
        config: DBOSConfig = {
            "name": NAME,
            "application_version": STEPS_VERSION,
            "executor_id": self.node,
            "log_level": "WARNING",
            "max_executor_threads": THREADS_MAX,
            "dbos_system_schema": SCHEMA,
            "notification_listener_polling_interval_sec": 0.2,  # closing waits for one
        }
        config["system_database_url"] = self.workflows_url
        if self.url.startswith("sqlite"):
            # The rows are the truth and lose nothing; what is lost here is begun anew.
            self.engine = open_engine(self.workflows_url, synchronous="NORMAL")
            config["system_database_engine"] = self.engine
        return config

    def close(self) -> None:
        """What is running is left as it is, and resumed by the next start. Idempotent."""
        if self.is_open:
            self.is_open = False
            self._shut()

    def _shut(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
        DBOS.destroy(destroy_registry=True)
        if self.engine is not None:
            self.engine.dispose()
        IN_USE.release()

    # ---- the workflows

    def _register(self) -> None:
        self.beginning = asyncio.Lock()

        # Functions of this driver's own: it may be the second one in the process.
        @DBOS.workflow(name=JOB, max_recovery_attempts=None)
        async def job(name: str) -> None:
            await self._job(name)

        @DBOS.workflow(name="tell", max_recovery_attempts=None)
        async def tell(name: str) -> None:
            await self._tell(name)

        self.run_job, self.run_tell = job, tell

    async def _job(self, job: str) -> None:
        self.loop = asyncio.get_running_loop()
        steps = self.steps
        # What is taken from the queue together comes here in its order, and two threads would not
        # keep to that. The lock is fair.
        async with self.beginning:
            await steps.begin(job)
        for step in (steps.fetch, steps.decode, steps.transcribe):
            await _run(step, job)
        if await _run(steps.finish, job):
            with SetWorkflowID(_telling(job)):
                await DBOS.start_workflow_async(self.run_tell, job)
        # Without this workflow's context, of which what is queued there is no part.
        await self.loop.run_in_executor(None, self._tell_ended, job)

    def _tell_ended(self, job: str) -> None:
        try:
            self.ended(job)
        except (SQLAlchemyError, dbos_error.DBOSException) as error:
            # What is due is found by the next search for jobs that nobody drives.
            logger.warning("the next job is put off: %s", type(error).__name__)

    async def _tell(self, job: str) -> None:
        wait = self.options.webhook_wait_seconds
        for number in range(1, self.options.webhook_tries_max + 1):
            if await _run(self.steps.tell, job, number):
                return
            await DBOS.sleep_async(wait)
            wait *= 2

    # ---- from outside

    def enqueue(self, job: str, owner: str, number: int) -> None:
        """Does nothing where it has been done. While closed, for whoever is open."""
        if not self.is_open:
            with self._client() as client:
                client.enqueue(
                    {
                        "workflow_name": JOB,
                        "queue_name": QUEUE,
                        "workflow_id": job,
                        "app_version": STEPS_VERSION,
                        "queue_partition_key": owner,
                        "priority": number,
                    },
                    job,
                )
            return
        # Jobs submitted in the same millisecond would change places without the priority.
        options = SetEnqueueOptions(queue_partition_key=owner, priority=number)
        with SetWorkflowID(job), options:
            DBOS.enqueue_workflow(QUEUE, self.run_job, job)
        if (worker := self.worker) is not None:  # nor is it being closed
            worker.wake()

    def stop(self, job: str) -> None:
        if self.loop is not None and self.loop.is_running():
            self.loop.call_soon_threadsafe(self.steps.stop, job)

    def resume(self, alive: set[str]) -> None:
        """Go on with what servers that are gone had begun."""
        dead = [w for w in self._workflows("PENDING") if w.executor_id not in alive]
        for queue in {w.queue_name for w in dead}:
            ids = [w.workflow_id for w in dead if w.queue_name == queue]
            logger.info("going on with %d jobs of a server that is gone", len(ids))
            DBOS.resume_workflows(ids, queue_name=queue)

    def adopt(self, unsettled: Callable[[], list[tuple[str, str, int, bool]]]) -> None:
        """Drive the jobs that nobody drives: a crash, or a fault of the database, left them so."""
        # In this order: what ends in between must not look as if nobody had driven it.
        driven = {w.workflow_id for w in self._workflows(ACTIVE)}
        for job, owner, number, is_ended in unsettled():
            if job in driven or _telling(job) in driven:
                continue
            logger.info("job %s was driven by nobody", job)
            DBOS.delete_workflows([job, _telling(job)])
            if not is_ended:
                self.enqueue(job, owner, number)
                continue
            with SetWorkflowID(_telling(job)):
                DBOS.start_workflow(self.run_tell, job)

    def forget(self, before_ms: int) -> None:
        """Drop the records of what was over before then."""
        while True:
            over = [
                w.workflow_id
                for w in self._workflows(["SUCCESS", "ERROR", "CANCELLED"], limit=1000)
                if (w.completed_at or 0) < before_ms
            ]
            if not over:
                return
            DBOS.delete_workflows(over)

    @staticmethod
    def _workflows(status: str | list[str], limit: int | None = None) -> list[Any]:
        return list(
            DBOS.list_workflows(status=status, load_input=False, load_output=False, limit=limit)
        )


async def _run(step: Callable[..., Coroutine[Any, Any, Result]], *args: str | int) -> Result:
    """As a step of DBOS, which keeps what it returns, or raises."""

    async def run() -> Result:
        try:
            return await step(*args)
        except Exception as error:
            # DBOS would keep it, and with it perhaps a row. The job is begun anew in a while.
            logger.exception("the step %s failed", step.__name__)
            raise StepFailed(step.__name__, type(error).__name__) from None

    return await DBOS.run_step_async({"name": step.__name__}, run)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Asyncio task cancelled")  # how every shutdown looks


def _telling(job: str) -> str:
    return f"{job}-webhook"
