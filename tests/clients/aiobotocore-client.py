"""aiobotocore, each session with a client of its own."""
import asyncio
import os
import sys

from aiobotocore.session import get_session

SESSIONS, CALLS, PAUSE = map(int, sys.argv[1:])


async def session():
    async with get_session().create_client("sts", endpoint_url=os.environ["ENDPOINT"]) as sts:
        for number in range(CALLS):
            await asyncio.sleep(PAUSE if number else 0)
            await sts.get_caller_identity()


async def main():
    await asyncio.gather(*[session() for _ in range(SESSIONS)])


asyncio.run(main())
