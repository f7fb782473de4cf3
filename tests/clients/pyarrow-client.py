"""pyarrow, whose S3 file system is the C++ SDK."""
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from pyarrow import fs

SESSIONS, CALLS, PAUSE = map(int, sys.argv[1:])


def session(_):
    s3 = fs.S3FileSystem(endpoint_override=urlsplit(os.environ["ENDPOINT"]).netloc, scheme="http", region="eu-west-1")
    for number in range(CALLS):
        time.sleep(PAUSE if number else 0)
        s3.open_input_stream("bucket/object").read()


with ThreadPoolExecutor(SESSIONS) as pool:
    list(pool.map(session, range(SESSIONS)))
