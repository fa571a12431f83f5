"""The S3 protocol and nothing else: pure, no input or output, no asyncio, no clock but the one passed in."""
