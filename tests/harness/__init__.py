"""Processes and networks that tests start: real servers, proxies, clusters. No test lives here."""
