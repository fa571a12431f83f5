"""The names that a policy may use: the actions of S3 and the condition keys that a request can have. Tables.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html

AWS refuses a policy that names anything else, and so do we: a Deny with a misspelt action would protect nothing.
"""

# ruff: noqa: SIM905  (as lists of quoted words these tables would take three pages)

from typing import Final

#: Actions on objects, by their lower-case names without `s3:`.
OBJECT_ACTIONS: Final = frozenset(
    """
    abortmultipartupload bypassgovernanceretention deleteobject deleteobjecttagging deleteobjectversion
    deleteobjectversiontagging getobject getobjectacl getobjectattributes getobjectlegalhold getobjectretention
    getobjecttagging getobjecttorrent getobjectversion getobjectversionacl getobjectversionattributes
    getobjectversionforreplication getobjectversiontagging getobjectversiontorrent initiatereplication
    listmultipartuploadparts objectowneroverridetobucketowner putobject putobjectacl putobjectlegalhold
    putobjectretention putobjecttagging putobjectversionacl putobjectversiontagging replicatedelete replicateobject
    replicatetags restoreobject updateobjectencryption deleteobjectannotation deleteobjectversionannotation
    getobjectannotation getobjectversionannotation listobjectannotations listobjectversionannotations
    putobjectannotation putobjectversionannotation
    """.split()
)
#: Actions on buckets.
BUCKET_ACTIONS: Final = frozenset(
    """
    createbucket createbucketmetadatatableconfiguration deletebucket deletebucketmetadatatableconfiguration
    deletebucketownershipcontrols deletebucketpolicy deletebucketpublicaccessblock deletebuckettagging
    deletebucketwebsite getaccelerateconfiguration getanalyticsconfiguration getbucketabac getbucketacl getbucketcors
    getbucketlocation getbucketlogging getbucketmetadatatableconfiguration getbucketnotification
    getbucketobjectlockconfiguration getbucketownershipcontrols getbucketpolicy getbucketpolicystatus
    getbucketpublicaccessblock getbucketrequestpayment getbuckettagging getbucketversioning getbucketwebsite
    getencryptionconfiguration getintelligenttieringconfiguration getinventoryconfiguration
    getlifecycleconfiguration getmetricsconfiguration getreplicationconfiguration listbucket
    listbucketmultipartuploads listbucketversions putaccelerateconfiguration putanalyticsconfiguration putbucketabac
    putbucketacl putbucketcors putbucketlogging putbucketnotification putbucketobjectlockconfiguration
    putbucketownershipcontrols putbucketpolicy putbucketpublicaccessblock putbucketrequestpayment putbuckettagging
    putbucketversioning putbucketwebsite putencryptionconfiguration putintelligenttieringconfiguration
    putinventoryconfiguration putlifecycleconfiguration putmetricsconfiguration putreplicationconfiguration
    updatebucketmetadatainventorytableconfiguration updatebucketmetadatajournaltableconfiguration
    """.split()
)
#: Actions on no bucket in particular: only policies of users can be about them.
SERVICE_ACTIONS: Final = frozenset({"listallmybuckets"})
ALL_ACTIONS: Final = OBJECT_ACTIONS | BUCKET_ACTIONS

#: Condition keys, in lower case; a name that ends in "/" takes a tag's name behind it.
CONDITION_KEYS: Final = frozenset(
    """
    aws:calledvia aws:calledviafirst aws:calledvialast aws:currenttime aws:epochtime aws:federatedprovider
    aws:multifactorauthage aws:multifactorauthpresent aws:principalaccount aws:principalarn
    aws:principalisawsservice aws:principalorgid aws:principalorgpaths aws:principalservicename
    aws:principalservicenameslist aws:principaltag/ aws:principaltype aws:referer aws:requestedregion
    aws:requesttag/ aws:resourceaccount aws:resourceorgid aws:resourceorgpaths aws:resourcetag/ aws:securetransport
    aws:sourceaccount aws:sourcearn aws:sourceidentity aws:sourceip aws:sourceorgid aws:sourceorgpaths
    aws:sourceowner aws:sourcevpc aws:sourcevpcarn aws:sourcevpce aws:tagkeys aws:tokenissuetime aws:useragent
    aws:userid aws:username aws:viaawsservice aws:vpcsourceip
    s3:accessgrantsinstancearn s3:accesspointnetworkorigin s3:accesspointtag/ s3:authtype s3:buckettag/
    s3:dataaccesspointaccount s3:dataaccesspointarn s3:delimiter s3:existingjoboperation s3:existingobjecttag/
    s3:if-match s3:if-none-match s3:inventoryaccessibleoptionalfields s3:locationconstraint s3:max-keys
    s3:object-lock-legal-hold s3:object-lock-mode s3:object-lock-remaining-retention-days
    s3:object-lock-retain-until-date s3:objectcreationoperation s3:prefix s3:requestobjecttag/
    s3:requestobjecttagkeys s3:resourceaccount s3:signatureage s3:signatureversion s3:tlsversion s3:versionid
    s3:x-amz-acl s3:x-amz-content-sha256 s3:x-amz-copy-source s3:x-amz-grant-full-control s3:x-amz-grant-read
    s3:x-amz-grant-read-acp s3:x-amz-grant-write s3:x-amz-grant-write-acp s3:x-amz-metadata-directive
    s3:x-amz-object-ownership s3:x-amz-server-side-encryption s3:x-amz-server-side-encryption-aws-kms-key-id
    s3:x-amz-server-side-encryption-customer-algorithm s3:x-amz-storage-class s3:x-amz-website-redirect-location
    """.split()
)


def is_condition_key(key: str) -> bool:
    """Whether a policy may ask for this key; `key` in lower case."""
    name, slash, _ = key.partition("/")
    return (name + slash) in CONDITION_KEYS
