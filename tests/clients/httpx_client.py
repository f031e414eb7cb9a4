"""Requests by httpx until standard input ends, with GET and POST; each that fails is a line of output.

Arguments: a URL that a number is appended to, the file of the authority, and the version of HTTP.
"""

import asyncio
import ssl
import sys

import httpx


async def ended():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def ask(client, url, number, version):
    method = "POST" if number % 2 else "GET"
    try:
        response = await client.request(method, f"{url}{number}", content=b"body" if number % 2 else None)
        wrong = response.status_code != 200 or response.http_version != version
        if wrong or response.text != f"{number}" + ("body" if number % 2 else ""):
            print(method, number, response.http_version, response.status_code, response.text)
    except httpx.HTTPError as error:
        print(method, number, type(error).__name__, error)


async def main(url, authority, version):
    tls = ssl.create_default_context(cafile=authority)
    # The test's authority names no key identifiers.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    client = httpx.AsyncClient(http1=version == "HTTP/1.1", http2=version == "HTTP/2", verify=tls, timeout=60)
    end = asyncio.ensure_future(ended())

    async def user(first):
        number = first
        while not end.done():
            await ask(client, url, number, version)
            number += 5

    # At a GOAWAY, requests that are under way on the connection fail.
    users = 5 if version == "HTTP/1.1" else 1
    async with client:
        await asyncio.gather(*map(user, range(users)))


asyncio.run(main(*sys.argv[1:]))
