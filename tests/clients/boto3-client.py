"""boto3, each session with a client of its own."""
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3

SESSIONS, CALLS, PAUSE = map(int, sys.argv[1:])


def session(_):
    sts = boto3.Session().client("sts", endpoint_url=os.environ["ENDPOINT"])
    for number in range(CALLS):
        time.sleep(PAUSE if number else 0)
        sts.get_caller_identity()


with ThreadPoolExecutor(SESSIONS) as pool:
    list(pool.map(session, range(SESSIONS)))
