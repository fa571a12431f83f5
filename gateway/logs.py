"""Set-up of structlog for the processes of this package: where log lines go and how they look.

One JSON object a line on standard error, or coloured text on a terminal. No message and no secret lives here.
"""

import logging
import sys

import structlog
from structlog.typing import Processor

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)


def configure_logging(*, debug: bool, form: str = "auto", quiet: bool = False) -> None:
    """Send structlog and the standard library's logging to standard error, from INFO or DEBUG on; `quiet`: from ERROR.

    `form` is "json", "text", or "auto": text on a terminal.
    """
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    level = logging.DEBUG if debug else logging.ERROR if quiet else logging.INFO
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=_renderers(text=text))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _renderers(*, text: bool) -> list[Processor]:
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if text:
        # structlog's usual tracebacks show local variables, among them keys and passwords.
        return [
            remove_meta,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    return [remove_meta, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
