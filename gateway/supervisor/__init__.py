"""`cairn serve`: one process that starts, watches and stops all others of a single machine.

layout.py          the data directory, its lock and the listening socket
embedded_index.py  command line of the embedded Redis-compatible server
attach.py          the wrapper that ties a child's life to the supervisor's
child.py           one child process: start, log, restart, stop
roles.py           command line and environment of each kind of child
serve.py           which children there are, in which order they come and go
readiness.py       asks a gateway whether it is ready
banner.py          what is printed then

No request is handled here and nothing is read from or written to the index.
"""
