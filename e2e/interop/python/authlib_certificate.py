"""Authlib with a certificate instead of a secret (RFC 8705)."""

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from talk import did, refused, settings

found = requests.get(settings["issuer"] + "/.well-known/openid-configuration", timeout=10, verify=settings["caFile"]).json()
endpoint = found["mtls_endpoint_aliases"]["token_endpoint"]


def token(certificate):
    client = OAuth2Session(settings["clients"]["certified-machine"]["id"], token_endpoint_auth_method="none", scope="reports.read")
    return client.fetch_token(endpoint, grant_type="client_credentials", cert=certificate, verify=settings["caFile"])


assert token(tuple(settings["certificateFiles"]))["access_token"]
did("mutual TLS")
refused("another certificate", lambda: token(tuple(settings["otherCertificateFiles"])), OAuthError, "invalid_client")
refused("no certificate", lambda: token(None), OAuthError, "invalid_client")
