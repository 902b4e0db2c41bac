"""Authlib as a portal would use it, and what of it we serve."""

import secrets
from urllib.parse import parse_qsl, urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6749.errors import MismatchingStateException
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from joserfc.jws import JWSRegistry

from talk import approve, did, refused, settings, visit

ISSUER = settings["issuer"]
SCOPE = "openid profile email roles offline_access"
found = requests.get(get_well_known_url(ISSUER, external=True), timeout=10).json()
metadata = OpenIDProviderMetadata(found)
assert metadata["issuer"] == ISSUER
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=10).json())
did("discovery")


def session(name, method, scope=SCOPE, **more):
    client = settings["clients"][name]
    secret = client.get("secret")
    if "key" in client:
        secret = ECKey.import_key(client["key"])
    made = OAuth2Session(
        client["id"], secret, scope=scope, redirect_uri=settings["redirect"], token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method, code_challenge_method="S256", **more,
    )
    if method == "private_key_jwt":
        made.register_client_auth_method(PrivateKeyJWT(ISSUER, headers={"kid": client["key"]["kid"]}, alg="ES256"))
    if method == "client_secret_jwt":
        made.register_client_auth_method(ClientSecretJWT(ISSUER))
    return made


def validate(client, token, nonce, issuer=ISSUER):
    """OpenID Connect Core section 3.1.3.7."""
    registry = JWSRegistry(algorithms=metadata["id_token_signing_alg_values_supported"], strict_check_header=False)
    decoded = jwt.decode(token["id_token"], key=keys, registry=registry)
    claims = CodeIDToken(
        decoded.claims, decoded.header, {"iss": {"values": [issuer]}},
        {"nonce": nonce, "client_id": client.client_id, "access_token": token["access_token"]},
    )
    claims.validate()
    return claims


def sign_in(client, **more):
    nonce, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
    url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, **more)
    back = visit(url)
    answer = dict(parse_qsl(urlsplit(back).query))
    if "error" in answer:  # the session leaves this to the portal; Authlib's Flask client does it by itself
        raise OAuthError(answer["error"], answer.get("error_description"))
    assert answer["iss"] == ISSUER  # RFC 9207
    token = client.fetch_token(metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
    return token, nonce


def portal():
    client = session("web", "client_secret_basic")
    token, nonce = sign_in(client, max_age="3600")
    claims = validate(client, token, nonce)
    assert claims["amr"] == ["pwd", "otp", "mfa"], claims
    did("sign-in")
    refused("another nonce", lambda: validate(client, token, "another"), JoseError)
    refused("another issuer", lambda: validate(client, token, nonce, "https://evil.example"), JoseError)
    person = client.get(metadata["userinfo_endpoint"]).json()
    assert person["email"] == settings["email"] and person["sub"] == claims["sub"]
    did("userinfo")
    before = token["access_token"]
    fresh = client.refresh_token(metadata["token_endpoint"])
    assert fresh["access_token"] != before
    did("refresh")
    state = client.introspect_token(metadata["introspection_endpoint"], token=fresh["access_token"]).json()
    assert state["active"] and state["sub"] == claims["sub"]
    did("introspection")
    resource_server(fresh["access_token"], state["aud"])
    assert client.revoke_token(metadata["revocation_endpoint"], token=fresh["refresh_token"]).status_code == 200
    refused("a revoked token", lambda: client.refresh_token(metadata["token_endpoint"], refresh_token=fresh["refresh_token"]), OAuthError, "invalid_grant")
    did("revocation")
    refused("another state", lambda: client.fetch_token(
        metadata["token_endpoint"], authorization_response=settings["redirect"] + "?code=x&state=other", state="mine"), MismatchingStateException)
    refused("a wrong code", lambda: client.fetch_token(metadata["token_endpoint"], grant_type="authorization_code", code="x", code_verifier="y" * 43), OAuthError, "invalid_grant")
    wrong = OAuth2Session(settings["clients"]["web"]["id"], "wrong")
    refused("a wrong secret", lambda: wrong.fetch_token(metadata["token_endpoint"], grant_type="client_credentials"), OAuthError, "invalid_client")
    return client


def resource_server(token, audience):
    """RFC 9068 section 4: an API that verifies access tokens by itself."""

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return keys

        def judge(self, token):
            self.validate_token(self.authenticate_token(token), [], None)

    audience = audience[0] if isinstance(audience, list) else audience
    Validator(ISSUER, audience).judge(token)
    refused("a token for another API", lambda: Validator(ISSUER, "https://other.example").judge(token), InvalidTokenError)
    did("JWT access token")


def other_ways():
    key = session("key", "private_key_jwt")
    token, nonce = sign_in(key)
    validate(key, token, nonce)
    did("private_key_jwt")
    secretly = session("secretly", "client_secret_jwt", scope=None)
    assert secretly.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]
    did("client_secret_jwt")
    machine = session("machine", "private_key_jwt", scope="reports.read")
    assert machine.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["scope"] == "reports.read"
    refused("a scope of others", lambda: session("machine", "private_key_jwt", scope="reports.write").fetch_token(
        metadata["token_endpoint"], grant_type="client_credentials"), OAuthError, "invalid_scope")
    did("client credentials")


def without_browser(client):
    """Token exchange (RFC 8693), the device grant (RFC 8628)."""
    token, _ = sign_in(client)
    machine = session("machine", "private_key_jwt", scope="email")
    exchanged = machine.fetch_token(
        metadata["token_endpoint"], grant_type="urn:ietf:params:oauth:grant-type:token-exchange", subject_token=token["access_token"],
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
    )
    assert exchanged["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    did("token exchange")
    tv = session("tv", "none", scope="openid email")

    def ask():
        asked = requests.post(metadata["device_authorization_endpoint"], data={"client_id": tv.client_id, "scope": tv.scope}, timeout=10).json()
        return asked["verification_uri_complete"], lambda: tv.fetch_token(
            metadata["token_endpoint"], grant_type="urn:ietf:params:oauth:grant-type:device_code", device_code=asked["device_code"])

    refused("a device that nobody let in", ask()[1], OAuthError, "authorization_pending")
    address, poll = ask()
    approve(address)
    assert poll()["id_token"]
    did("device grant")
    return token


def sign_out(token):
    back = visit(requests.Request("GET", metadata["end_session_endpoint"], params={
        "id_token_hint": token["id_token"], "post_logout_redirect_uri": settings["postLogout"], "state": "s1"}).prepare().url)
    assert back == settings["postLogout"] + "?state=s1", back
    client = session("web", "client_secret_basic")
    refused("a session that ended", lambda: sign_in(client, prompt="none"), OAuthError, "login_required")
    did("sign-out")


web = portal()
other_ways()
sign_out(without_browser(web))
