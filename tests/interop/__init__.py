"""Real S3 clients, one file each, against a real `cairn serve`; and hand-made requests no client would send."""
