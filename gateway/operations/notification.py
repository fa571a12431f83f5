"""The notification configuration of a bucket: put and get. The worker delivers (workers/notification.py).

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html
"""

from gateway.context import Answer, Context, Input
from gateway.events.derivation import NOTIFICATION
from gateway.events.subscriptions import names_target
from s3compat.errors import S3Error
from s3compat.notification import decode_document, encode_document, parse_rules, unknown_destination, with_ids


async def put_bucket_notification_configuration(context: Context, params: Input) -> Answer:
    """PutBucketNotificationConfiguration: the whole is replaced; an empty one ends notification.

    Each target hears of it by a test message, with the first events and not before the answer: one that is down
    refuses no configuration. Raises InvalidArgument, MalformedXML, NotImplemented (EventBridge).
    """
    stated = params.get("NotificationConfiguration")
    if stated is None:
        raise S3Error("MalformedXML")
    document = with_ids(stated)
    rules = parse_rules(document)
    if rules and not params.get("SkipDestinationValidation"):
        targets = await context.index.list_event_targets()
        for rule in rules:
            if not any(names_target(rule.destination, target) for target in targets):
                raise unknown_destination(rule.destination)
    bucket = context.target_bucket
    stored = encode_document(document) if rules else None
    await context.index.set_bucket_config(bucket.name, NOTIFICATION, stored, bucket_id=bucket.bucket_id)
    return Answer()


async def get_bucket_notification_configuration(context: Context, params: Input) -> Answer:
    """GetBucketNotificationConfiguration: an empty one where there is none."""
    stored = await context.index.get_bucket_config(context.target_bucket.name, NOTIFICATION)
    return Answer(output={} if stored is None else decode_document(stored))
