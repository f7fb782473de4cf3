"""aws-crt, which only gets credentials and signs; Python's own client sends the requests."""
import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from awscrt.auth import AwsCredentialsProvider, AwsSigningAlgorithm, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

SESSIONS, CALLS, PAUSE = map(int, sys.argv[1:])
ENDPOINT = os.environ["ENDPOINT"]
QUERY = "/?Action=GetCallerIdentity&Version=2011-06-15"
group = EventLoopGroup(1)
bootstrap = ClientBootstrap(group, DefaultHostResolver(group))


def session(_):
    provider = AwsCredentialsProvider.new_default_chain(bootstrap)
    for number in range(CALLS):
        time.sleep(PAUSE if number else 0)
        request = HttpRequest("GET", QUERY, HttpHeaders([("Host", urlsplit(ENDPOINT).netloc)]))
        config = AwsSigningConfig(AwsSigningAlgorithm.V4, credentials_provider=provider, region="eu-west-1", service="sts")
        signed = aws_sign_request(request, config).result()
        urllib.request.urlopen(urllib.request.Request(ENDPOINT + QUERY, headers=dict(signed.headers))).read()


with ThreadPoolExecutor(SESSIONS) as pool:
    list(pool.map(session, range(SESSIONS)))
