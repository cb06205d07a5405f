"""What a program does with Speechmatics' older Python client, and its command line.

The argument is JSON: `url`, `key`, `audio`, `fetch`. It prints JSON.
"""

import io
import json
import sys
from contextlib import redirect_stdout

from speechmatics.batch_client import BatchClient
from speechmatics.cli import main
from speechmatics.exceptions import JobNotFoundException
from speechmatics.models import BatchTranscriptionConfig, ConnectionSettings, FetchData

given = json.loads(sys.argv[1])
found = {}
settings = ConnectionSettings(url=given["url"], auth_token=given["key"])
with BatchClient(settings) as client:
    asked = BatchTranscriptionConfig(language="en", operating_point="enhanced")
    job = client.submit_job(given["audio"], asked)
    found["text"] = client.wait_for_completion(job)
    found["srt"] = client.get_job_result(job, "srt")
    found["json"] = client.get_job_result(job)["results"][0]["alternatives"][0]["content"]
    found["listed"] = job in [one["id"] for one in client.list_jobs()]
    found["status"] = client.check_job_status(job)["job"]["status"]
    found["deleted"] = client.delete_job(job)
    fetching = BatchTranscriptionConfig(language="en", fetch_data=FetchData(url=given["fetch"]))
    found["fetched"] = client.wait_for_completion(client.submit_job(None, fetching))
    try:
        client.get_job_result("00000000-0000-4000-8000-000000000000")
    except JobNotFoundException as error:
        found["missing"] = str(error)

printed = io.StringIO()
with redirect_stdout(printed):
    access = ["--url", given["url"], "--auth-token", given["key"]]
    sys.argv = ["speechmatics", "batch", "transcribe", *access, "--lang", "en", given["audio"]]
    main()
found["cli"] = printed.getvalue()
sys.stdout.write(json.dumps(found))
