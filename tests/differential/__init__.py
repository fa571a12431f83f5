"""The same boto3 calls against Cairn and against moto's server, answers and error codes compared."""
