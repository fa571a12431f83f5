"""The one table of S3 errors, and the exception that carries one of them to the endpoint.

Codes, HTTP statuses and messages are those of AWS's page "Error responses" of the S3 API reference; where the
wording on the wire is known to differ from the page (the page explains, the wire is terse), the wire wins. No
other module may invent a code. Rendering is in serialization.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """What S3 answers for one error code: the HTTP status and the default text of <Message>."""

    status: int
    message: str


_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

ERRORS: Final[Mapping[str, ErrorSpec]] = MappingProxyType(
    {
        # 3xx
        "NotModified": ErrorSpec(304, "Not Modified"),
        "PermanentRedirect": ErrorSpec(
            301,
            "The bucket you are attempting to access must be addressed using the specified endpoint. "
            "Please send all future requests to this endpoint.",
        ),
        "Redirect": ErrorSpec(307, "Temporary redirect."),
        "TemporaryRedirect": ErrorSpec(
            307,
            "Please re-send this request to the specified temporary endpoint. Continue to use the "
            "original request endpoint for future requests.",
        ),
        # Who asks, and whether they may
        "AccessControlListNotSupported": ErrorSpec(400, "The bucket does not allow ACLs"),
        "AccessDenied": ErrorSpec(403, "Access Denied"),
        # The code of a refused CORS preflight; it stands on no page, only on the wire.
        "AccessForbidden": ErrorSpec(
            403,
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of "
            "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers "
            "are not whitelisted by the resource's CORS spec.",
        ),
        "AccountProblem": ErrorSpec(
            403,
            "There is a problem with your AWS account that prevents the operation from completing successfully.",
        ),
        "AllAccessDisabled": ErrorSpec(403, "All access to this object has been disabled"),
        "AmbiguousGrantByEmailAddress": ErrorSpec(
            400, "The e-mail address you provided is associated with more than one account."
        ),
        "AuthorizationHeaderMalformed": ErrorSpec(400, "The authorization header you provided is invalid."),
        "AuthorizationQueryParametersError": ErrorSpec(
            400, "The authorization query parameters that you provided are not valid."
        ),
        "CredentialsNotSupported": ErrorSpec(400, "This request does not support credentials."),
        "ExpiredToken": ErrorSpec(400, "The provided token has expired."),
        "InvalidAccessKeyId": ErrorSpec(403, "The AWS Access Key Id you provided does not exist in our records."),
        "InvalidBucketOwnerAWSAccountID": ErrorSpec(
            400, "The value of the expected bucket owner parameter must be an AWS account ID."
        ),
        "InvalidPayer": ErrorSpec(403, "All access to this object has been disabled."),
        "InvalidSecurity": ErrorSpec(403, "The provided security credentials are not valid."),
        "InvalidSignature": ErrorSpec(
            400,
            "The request signature that the server calculated does not match the signature that you provided.",
        ),
        "InvalidToken": ErrorSpec(400, "The provided token is malformed or otherwise invalid."),
        "MissingAuthenticationToken": ErrorSpec(403, "The request was not signed."),
        "NotSignedUp": ErrorSpec(
            403,
            "Your account is not signed up for the Amazon S3 service. You must sign up before you can use Amazon S3.",
        ),
        "RequestTimeTooSkewed": ErrorSpec(
            403, "The difference between the request time and the current time is too large."
        ),
        "SignatureDoesNotMatch": ErrorSpec(
            403,
            "The request signature we calculated does not match the signature you provided. Check your "
            "key and signing method.",
        ),
        "TokenCodeInvalidError": ErrorSpec(400, "The serial number and/or token code you provided is not valid."),
        "TokenRefreshRequired": ErrorSpec(400, "The provided token must be refreshed."),
        "UnauthorizedAccess": ErrorSpec(403, "You are not authorized to perform this operation."),
        "UnresolvableGrantByEmailAddress": ErrorSpec(
            400, "The e-mail address you provided does not match any account on record."
        ),
        "UnsupportedSignature": ErrorSpec(
            400,
            "The provided request is signed with an unsupported STS Token version or the signature "
            "version is not supported.",
        ),
        # Buckets
        "BucketAlreadyExists": ErrorSpec(
            409,
            "The requested bucket name is not available. The bucket namespace is shared by all users of "
            "the system. Please select a different name and try again.",
        ),
        "BucketAlreadyOwnedByYou": ErrorSpec(
            409, "Your previous request to create the named bucket succeeded and you already own it."
        ),
        "BucketNotEmpty": ErrorSpec(409, "The bucket you tried to delete is not empty"),
        "IllegalLocationConstraintException": ErrorSpec(
            400,
            "The unspecified location constraint is incompatible for the region specific endpoint this "
            "request was sent to.",
        ),
        "InvalidBucketName": ErrorSpec(400, "The specified bucket is not valid."),
        "InvalidBucketState": ErrorSpec(409, "The request is not valid with the current state of the bucket."),
        "InvalidLocationConstraint": ErrorSpec(400, "The specified location-constraint is not valid"),
        "NoSuchBucket": ErrorSpec(404, "The specified bucket does not exist"),
        "TooManyBuckets": ErrorSpec(400, "You have attempted to create more buckets than allowed"),
        # Ours: AWS has no quotas; Ceph's RGW answers this code and status.
        "QuotaExceeded": ErrorSpec(403, "The bucket quota would be exceeded by this request."),
        # Bucket configuration
        "CrossLocationLoggingProhibited": ErrorSpec(
            403,
            "Cross-location logging not allowed. Buckets in one geographic location cannot log "
            "information to a bucket in another location.",
        ),
        "IllegalVersioningConfigurationException": ErrorSpec(400, "The Versioning element must be specified"),
        "InvalidBucketAclWithBlockPublicAccessError": ErrorSpec(
            400, "The specified bucket ACL is public and the bucket blocks public access."
        ),
        "InvalidBucketAclWithObjectOwnership": ErrorSpec(
            400, "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        ),
        "InvalidPolicyDocument": ErrorSpec(
            400, "The content of the form does not meet the conditions specified in the policy document."
        ),
        "InvalidTargetBucketForLogging": ErrorSpec(
            400,
            "The target bucket for logging does not exist, is not owned by you, or does not have the "
            "appropriate grants for the log-delivery group.",
        ),
        "MalformedPolicy": ErrorSpec(400, "Policies must be valid JSON and the first byte must be '{'"),
        "NoLoggingStatusForKey": ErrorSpec(400, "There is no such thing as a logging status subresource for a key."),
        "NoSuchBucketPolicy": ErrorSpec(404, "The bucket policy does not exist"),
        "NoSuchCORSConfiguration": ErrorSpec(404, "The CORS configuration does not exist"),
        "NoSuchConfiguration": ErrorSpec(404, "The specified configuration does not exist."),
        "NoSuchLifecycleConfiguration": ErrorSpec(404, "The lifecycle configuration does not exist"),
        "NoSuchPublicAccessBlockConfiguration": ErrorSpec(404, "The public access block configuration was not found"),
        "NoSuchTagSet": ErrorSpec(404, "The TagSet does not exist"),
        "NoSuchWebsiteConfiguration": ErrorSpec(404, "The specified bucket does not have a website configuration"),
        "ObjectLockConfigurationNotFoundError": ErrorSpec(
            404, "Object Lock configuration does not exist for this bucket"
        ),
        "OwnershipControlsNotFoundError": ErrorSpec(404, "The bucket ownership controls were not found"),
        "ReplicationConfigurationNotFoundError": ErrorSpec(404, "The replication configuration was not found"),
        "ServerSideEncryptionConfigurationNotFoundError": ErrorSpec(
            404, "The server side encryption configuration was not found"
        ),
        "InvalidRetentionPeriod": ErrorSpec(400, "Default retention period must be a positive integer value."),
        "InvalidConfigurationId": ErrorSpec(400, "The specified configuration id is invalid."),
        "TooManyConfigurations": ErrorSpec(
            400, "You are attempting to create a new configuration but have already reached the limit."
        ),
        # Objects and uploads
        "ConditionalRequestConflict": ErrorSpec(
            409,
            "The conditional request cannot succeed due to a conflicting operation against this resource.",
        ),
        "EntityTooLarge": ErrorSpec(400, "Your proposed upload exceeds the maximum allowed size"),
        "EntityTooSmall": ErrorSpec(400, "Your proposed upload is smaller than the minimum allowed size"),
        "InvalidObjectState": ErrorSpec(403, "The operation is not valid for the object's storage class"),
        "InvalidPart": ErrorSpec(
            400,
            "One or more of the specified parts could not be found.  The part may not have been "
            "uploaded, or the specified entity tag may not match the part's entity tag.",
        ),
        "InvalidPartNumber": ErrorSpec(416, "The requested partnumber is not satisfiable"),
        "InvalidPartOrder": ErrorSpec(
            400, "The list of parts was not in ascending order. Parts must be ordered by part number."
        ),
        "InvalidRange": ErrorSpec(416, "The requested range is not satisfiable"),
        "InvalidStorageClass": ErrorSpec(400, "The storage class you specified is not valid"),
        "InvalidTag": ErrorSpec(
            400,
            "The tag provided was not a valid tag. This error can occur if the tag did not pass input validation.",
        ),
        "InvalidWriteOffset": ErrorSpec(
            400, "The write offset value that you specified does not match the current object size."
        ),
        "KeyTooLongError": ErrorSpec(400, "Your key is too long"),
        "MetadataTooLarge": ErrorSpec(400, "Your metadata headers exceed the maximum allowed metadata size"),
        "NoSuchKey": ErrorSpec(404, "The specified key does not exist."),
        "NoSuchObjectLockConfiguration": ErrorSpec(
            404, "The specified object does not have a ObjectLock configuration"
        ),
        "NoSuchUpload": ErrorSpec(
            404,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
            "been aborted or completed.",
        ),
        "NoSuchVersion": ErrorSpec(404, "The specified version does not exist."),
        "ObjectAlreadyInActiveTierError": ErrorSpec(403, "This object is already in an active tier."),
        "ObjectNotInActiveTierError": ErrorSpec(403, "The source object of the COPY action is not in the active tier."),
        "PreconditionFailed": ErrorSpec(412, "At least one of the pre-conditions you specified did not hold"),
        "RequestTorrentOfBucketError": ErrorSpec(400, "Requesting the torrent file of a bucket is not permitted."),
        "RestoreAlreadyInProgress": ErrorSpec(409, "Object restore is already in progress"),
        "TooManyParts": ErrorSpec(400, "You have attempted to add more parts than the maximum of 10000."),
        # Annotations and renames, as the service model declares them
        "AnnotationLimitExceeded": ErrorSpec(400, "The object has too many annotations."),
        "AnnotationNameTooLong": ErrorSpec(400, "The annotation name is too long."),
        "IdempotencyParameterMismatch": ErrorSpec(
            400,
            "Parameters on this idempotent request are inconsistent with parameters used in previous request(s).",
        ),
        "InvalidAnnotationName": ErrorSpec(400, "The annotation name is not valid."),
        "InvalidPrefix": ErrorSpec(400, "The annotation prefix is not valid."),
        "NoSuchAnnotation": ErrorSpec(404, "The specified annotation does not exist."),
        "UnsupportedMediaType": ErrorSpec(415, "The media type of the request is not supported."),
        # Encryption
        "EncryptionTypeMismatch": ErrorSpec(400, "The existing object was created with a different encryption type."),
        "InvalidEncryptionAlgorithmError": ErrorSpec(
            400, "The encryption request you specified is not valid. The valid value is AES256."
        ),
        "KMS.DisabledException": ErrorSpec(
            400, "The request was rejected because the specified KMS key is not enabled."
        ),
        "KMS.InvalidKeyUsageException": ErrorSpec(
            400,
            "The request was rejected because the KeyUsage value of the KMS key is incompatible with the "
            "API operation.",
        ),
        "KMS.KMSInvalidStateException": ErrorSpec(
            400,
            "The request was rejected because the state of the specified resource is not valid for this request.",
        ),
        "KMS.NotFoundException": ErrorSpec(
            400, "The request was rejected because the specified entity or resource could not be found."
        ),
        # Bodies and checksums
        "BadDigest": ErrorSpec(400, "The Content-MD5 you specified did not match what we received."),
        "IncompleteBody": ErrorSpec(
            400, "You did not provide the number of bytes specified by the Content-Length HTTP header"
        ),
        "InvalidChunkSizeError": ErrorSpec(403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
        "InvalidDigest": ErrorSpec(400, "The Content-MD5 you specified was invalid."),
        "MalformedACLError": ErrorSpec(
            400, "The XML you provided was not well-formed or did not validate against our published schema"
        ),
        "MalformedTrailerError": ErrorSpec(
            400,
            "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        ),
        "MalformedXML": ErrorSpec(
            400, "The XML you provided was not well-formed or did not validate against our published schema"
        ),
        "MaxMessageLengthExceeded": ErrorSpec(400, "Your request was too big."),
        "MissingContentLength": ErrorSpec(411, "You must provide the Content-Length HTTP header."),
        "MissingRequestBodyError": ErrorSpec(400, "Request Body is empty"),
        "UnexpectedContent": ErrorSpec(400, "This request does not support content"),
        "XAmzContentChecksumMismatch": ErrorSpec(
            400, "The provided 'x-amz-checksum' header does not match what was computed."
        ),
        "XAmzContentSHA256Mismatch": ErrorSpec(
            400, "The provided 'x-amz-content-sha256' header does not match what was computed."
        ),
        # POST form uploads
        "IncorrectNumberOfFilesInPostRequest": ErrorSpec(400, "POST requires exactly one file upload per request."),
        "InlineDataTooLarge": ErrorSpec(400, "Inline data exceeds the maximum allowed size."),
        "MalformedPOSTRequest": ErrorSpec(400, "The body of your POST request is not well-formed multipart/form-data."),
        "MaxPostPreDataLengthExceededError": ErrorSpec(
            400, "Your POST request fields preceding the upload file were too large."
        ),
        "RequestIsNotMultiPartContent": ErrorSpec(
            400, "Bucket POST must be of the enclosure-type multipart/form-data."
        ),
        "UserKeyMustBeSpecified": ErrorSpec(
            400,
            "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.",
        ),
        # The request itself
        "BadRequest": ErrorSpec(400, "Bad Request"),
        "InvalidAddressingHeader": ErrorSpec(400, "You must specify the Anonymous role."),
        "InvalidArgument": ErrorSpec(400, "Invalid Argument"),
        "InvalidRedirectLocation": ErrorSpec(
            400, "The website redirect location must have a prefix of 'http://' or 'https://' or '/'."
        ),
        "InvalidHostHeader": ErrorSpec(
            400, "The host headers provided in the request used the incorrect style addressing."
        ),
        "InvalidHttpMethod": ErrorSpec(400, "The request was made using an unexpected HTTP method."),
        "InvalidRequest": ErrorSpec(400, "Invalid Request"),
        "InvalidURI": ErrorSpec(400, "Couldn't parse the specified URI."),
        "MethodNotAllowed": ErrorSpec(405, "The specified method is not allowed against this resource."),
        "MissingSecurityHeader": ErrorSpec(400, "Your request was missing a required header"),
        "NotImplemented": ErrorSpec(501, "A header you provided implies functionality that is not implemented"),
        "OperationAborted": ErrorSpec(
            409,
            "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        ),
        # AWS says 400 here; 431 (RFC 6585 section 5) is what proxies understand, and what we promise.
        "RequestHeaderSectionTooLarge": ErrorSpec(
            431, "Your request header section exceeds the maximum allowed request header size."
        ),
        "RequestTimeout": ErrorSpec(
            400,
            "Your socket connection to the server was not read from or written to within the timeout "
            "period. Idle connections will be closed.",
        ),
        "UnsupportedArgument": ErrorSpec(400, "The request contained an unsupported argument."),
        # The server
        "InternalError": ErrorSpec(500, "We encountered an internal error. Please try again."),
        "ServiceUnavailable": ErrorSpec(503, "Service is unable to handle request."),
        "SlowDown": ErrorSpec(503, "Please reduce your request rate."),
    }
)


class S3Error(Exception):
    """An answer that S3 gives instead of a result.

    `elements` are the further children of <Error> in their order (Key=, BucketName=, ArgumentName=, ...);
    `headers` go into the response. Nothing can be changed after construction.
    Raises KeyError for a code that is not in ERRORS.
    """

    __slots__ = ("code", "elements", "headers", "message", "status")

    code: str
    status: int
    message: str
    elements: Mapping[str, str]
    headers: Mapping[str, str]

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        **elements: str,
    ) -> None:
        spec = ERRORS[code]
        text = spec.message if message is None else message
        super().__init__(code, text)
        put = object.__setattr__
        put(self, "code", code)
        put(self, "status", spec.status)
        put(self, "message", text)
        put(self, "elements", MappingProxyType(elements))
        put(self, "headers", MappingProxyType(dict(headers)) if headers else _NO_HEADERS)

    def __setattr__(self, name: str, value: object) -> None:
        # contextlib and traceback tools set __traceback__, __cause__, __notes__: those are the interpreter's.
        if not name.startswith("__"):
            raise AttributeError(f"S3Error is immutable: {name}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"S3Error is immutable: {name}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.code, self.message, dict(self.headers), dict(self.elements))

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def _rebuild(code: str, message: str, headers: dict[str, str], elements: dict[str, str]) -> S3Error:
    return S3Error(code, message, headers=headers, **elements)
