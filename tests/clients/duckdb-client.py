"""DuckDB, whose extension `aws` asks the C++ SDK when a secret is made; a new secret for each call."""
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import duckdb_extension_aws
import duckdb_extension_httpfs

SESSIONS, CALLS, PAUSE = map(int, sys.argv[1:])
SECRET = f"""
CREATE OR REPLACE SECRET (
    TYPE s3, PROVIDER credential_chain, CHAIN 'process', PROFILE '{os.environ["AWS_PROFILE"]}', REGION 'eu-west-1',
    ENDPOINT '{urlsplit(os.environ["ENDPOINT"]).netloc}', USE_SSL false, URL_STYLE 'path')
"""


EXTENSIONS = [
    extension
    for module in (duckdb_extension_httpfs, duckdb_extension_aws)
    for extension in Path(module.__file__).parent.glob("extensions/*/*.duckdb_extension")
]


def session(_):
    db = duckdb.connect(":memory:")
    for extension in EXTENSIONS:
        db.load_extension(str(extension))
    for number in range(CALLS):
        time.sleep(PAUSE if number else 0)
        db.execute(SECRET)
        db.execute("SELECT content FROM read_text('s3://bucket/object')").fetchall()


with ThreadPoolExecutor(SESSIONS) as pool:
    list(pool.map(session, range(SESSIONS)))
