"""The application: S3 and legacy routes become operations on the index and on the storage nodes."""
