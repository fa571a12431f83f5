"""`cairn why`: what refused a request, told by the id that its answer carried (`x-amz-request-id`)."""

import json
import os
from typing import Annotated

import typer

from gateway.cli_options import CommandRefused, Data, Json, run_async, running_command


def why(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="x-amz-request-id of the refused request")],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Tell why a request was answered 403: the statement, ACL or block that decided, or how its signature differs.

    The newest 10,000 refusals are kept for a day.
    """
    from gateway.command_services import open_command
    from gateway.explanations import ExplanationUnreadable, decode_explanation, document_of, lines_of

    async def find() -> bytes | None:
        async with open_command(os.environ, data) as services:
            return await services.index.get_explanation(request_id.strip().upper())

    with running_command():
        stored = run_async(find())
        if stored is None:
            raise CommandRefused(f"nothing is known of a refused request {request_id}: explanations are kept for a day")
        try:
            found = decode_explanation(stored)
        except ExplanationUnreadable as error:
            raise CommandRefused(str(error)) from error
    if as_json:
        typer.echo(json.dumps(document_of(found)))
        return
    for line in lines_of(found):
        typer.echo(line)
