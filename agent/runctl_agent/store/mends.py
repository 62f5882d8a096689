"""The command or change that mends a refusal of S3."""

from __future__ import annotations

import re

CREDENTIALS = (
    "`aws configure`, or `aws sso login`, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; on an instance attach "
    "an instance profile that may use the bucket; `aws sts get-caller-identity` shows which credentials are used"
)
EXPIRED = (
    "renew the credentials (`aws sso login`); an instance profile's renew themselves as long as http://169.254.169.254 answers "
    "(`aws sts get-caller-identity`)"
)
CONFIGURATION = "check AWS_REGION, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3, AWS_PROFILE and ~/.aws/config: `aws configure list`"

ACTIONS = {
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "CreateMultipartUpload": ("s3:PutObject",),
    "DeleteObject": ("s3:DeleteObject",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetObject": ("s3:GetObject",),
    "HeadBucket": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "ListObjectsV2": ("s3:ListBucket",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "PutObject": ("s3:PutObject",),
    "UploadPart": ("s3:PutObject",),
}
"""Operation to IAM actions: "Actions, resources, and condition keys for Amazon S3" (Service Authorization Reference)."""

READS = frozenset({"GetObject", "HeadObject"})
ON_BUCKET = frozenset({"GetBucketLifecycleConfiguration", "HeadBucket", "ListObjectsV2"})
KMS_ACTION = re.compile(r"(?<!:)\bkms:[A-Z][A-Za-z]+")
KMS_KEY = re.compile(r"arn:[a-z0-9-]+:kms:[A-Za-z0-9:/_-]+")


def denied(operation: str, bucket: str, key: str) -> str:
    """S3 answers 403 for a missing key to whoever may not list the bucket ("GetObject", Amazon S3 API Reference)."""
    actions = ", ".join(ACTIONS.get(operation, (f"s3:{operation}",)))
    resource = f"arn:aws:s3:::{bucket}" if operation in ON_BUCKET else f"arn:aws:s3:::{bucket}/{key}"
    mend = f"allow {actions} on {resource}"
    if operation in READS:
        mend += f", and s3:ListBucket on arn:aws:s3:::{bucket}, without which a missing object reads as denied"
    return f"{mend}, in the policy of the role or user in use"


def no_bucket(bucket: str, region: str) -> str:
    where = f" --region {region}" if region else ""
    return f"`aws s3 mb s3://{bucket}{where}`, or correct `destination` in the run spec"


def region(bucket: str, region: str) -> str:
    return (
        f"`aws s3api get-bucket-location --bucket {bucket}` tells the bucket's region: set AWS_REGION to it"
        f" (now {region or 'unset'}); if it is the same, `aws sts get-caller-identity` shows whether the credentials are good"
    )


def kms(message: str) -> str:
    """The action and the key as S3 names them, where it does."""
    actions = ", ".join(dict.fromkeys(KMS_ACTION.findall(message))) or "kms:GenerateDataKey, kms:Decrypt"
    key = KMS_KEY.search(message)
    return f"allow {actions} on {key[0] if key else 'the key of the bucket'}, and enable the key if it is disabled"


def certificate(endpoint: str) -> str:
    return f"trust the certificate of {endpoint or 'the endpoint'}: AWS_CA_BUNDLE names the file; check the clock: `timedatectl`"


def network(endpoint: str, region: str) -> str:
    """For what passes by itself as a rule."""
    return (
        f"if it lasts: check the route to {endpoint or 'S3'} (gateway endpoint, proxy, DNS) and the region ({region or 'unset'})"
    )
