// openid-client as a portal would use it, and everything of it that we serve.
import assert from 'node:assert/strict'
import * as oidc from 'openid-client'
import { approve, did, end, refused, settings, visit } from './talk.js'

const issuer = new URL(settings.issuer)
const { clients, redirect } = settings
const scope = 'openid profile email roles offline_access'

const connect = (name, authentication, ...also) => connectAs(name, {}, authentication, ...also)
const connectAs = (name, metadata, authentication, ...also) =>
  oidc.discovery(issuer, clients[name].id, metadata, authentication, { execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks, ...also] })
const privateKey = async name => ({
  key: await crypto.subtle.importKey('jwk', clients[name].key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']),
  kid: clients[name].key.kid,
})

/** What a sign-in needs: parameters to send, checks for when it comes back. */
async function begin(more = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const expectedState = oidc.randomState(), expectedNonce = oidc.randomNonce()
  return {
    parameters: {
      redirect_uri: redirect, scope, state: expectedState, nonce: expectedNonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...more,
    },
    checks: { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true },
  }
}

/** A sign-in with a request built one way or another. */
async function signIn(config, build = oidc.buildAuthorizationUrl, { more, options } = {}) {
  const { parameters, checks } = await begin(more)
  const back = await visit(await build(config, parameters))
  return oidc.authorizationCodeGrant(config, back, checks, undefined, options)
}

async function portal() {
  const config = await connect('web', oidc.ClientSecretBasic(clients.web.secret))
  const tokens = await signIn(config, oidc.buildAuthorizationUrl, { more: { max_age: '3600' } })
  const claims = tokens.claims()
  assert.equal(claims.iss, settings.issuer)
  assert.deepEqual(claims.amr, ['pwd', 'otp', 'mfa'])
  assert.ok(claims.auth_time && claims.sid)
  did('sign-in')
  const person = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub)
  assert.equal(person.email, settings.email)
  did('userinfo')
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token)
  assert.notEqual(fresh.access_token, tokens.access_token)
  assert.equal(fresh.claims().sub, claims.sub)
  did('refresh')
  const state = await oidc.tokenIntrospection(config, fresh.access_token)
  assert.ok(state.active && state.sub === claims.sub)
  did('introspection')
  await oidc.tokenRevocation(config, fresh.refresh_token)
  await refused('a revoked token', () => oidc.refreshTokenGrant(config, fresh.refresh_token), { error: 'invalid_grant' })
  did('revocation')
  return { config, tokens: await signIn(config), claims }
}

/** What the library must notice, and what we refuse. */
async function refusals(config, claims) {
  const attempt = async (change, back = url => url) => {
    const { parameters, checks } = await begin()
    const url = back(await visit(oidc.buildAuthorizationUrl(config, parameters)))
    return oidc.authorizationCodeGrant(config, url, { ...checks, ...change })
  }
  await refused('another nonce', () => attempt({ expectedNonce: 'another' }), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' })
  await refused('another state', () => attempt({ expectedState: 'another' }), { code: 'OAUTH_INVALID_RESPONSE' })
  await refused('another issuer', () => attempt({}, url => {
    url.searchParams.set('iss', 'https://evil.example')
    return url
  }), { code: 'OAUTH_INVALID_RESPONSE' })
  await refused('another verifier', () => attempt({ pkceCodeVerifier: oidc.randomPKCECodeVerifier() }), { code: 'OAUTH_RESPONSE_BODY_ERROR', error: 'invalid_grant', status: 400 })
  await refused('another person', () => oidc.fetchUserInfo(config, claims.token, 'another'), { code: 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED' })
  const wrong = await connect('web', oidc.ClientSecretBasic('wrong'))
  await refused('a wrong secret', () => oidc.refreshTokenGrant(wrong, 'x'), { status: 401, error: 'invalid_client' })
  const { parameters, checks } = await begin({ prompt: 'none', id_token_hint: claims.hint, claims: '{"id_token":{"sub":{"value":"another"}}}' })
  const back = await visit(oidc.buildAuthorizationUrl(config, parameters))
  await refused('silently as somebody else', () => oidc.authorizationCodeGrant(config, back, checks), { code: 'OAUTH_AUTHORIZATION_RESPONSE_ERROR', error: 'login_required' })
  await refused('an invented token', () => oidc.fetchUserInfo(config, 'x.y.z', oidc.skipSubjectCheck), { code: 'OAUTH_WWW_AUTHENTICATE_CHALLENGE', status: 401, error: 'invalid_token' })
}

/** Requests that are pushed, signed, or both; answers that are signed. */
async function requests() {
  const web = await connect('web', oidc.ClientSecretPost(clients.web.secret))
  await refused('the secret in another place', () => oidc.clientCredentialsGrant(web), { status: 401, error: 'invalid_client' })
  const key = await privateKey('key')
  const config = await connect('key', oidc.PrivateKeyJwt(key))
  await signIn(config, oidc.buildAuthorizationUrlWithPAR)
  did('pushed request')
  const signed = (config, parameters) => oidc.buildAuthorizationUrlWithJAR(config, parameters, key)
  await signIn(config, signed)
  did('signed request')
  await signIn(config, async (config, parameters) => oidc.buildAuthorizationUrlWithPAR(config, (await signed(config, parameters)).searchParams))
  did('pushed and signed request')
  const other = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  await refused('a request signed by somebody else', async () => oidc.buildAuthorizationUrlWithPAR(config,
    (await oidc.buildAuthorizationUrlWithJAR(config, (await begin()).parameters, other.privateKey)).searchParams), { error: 'invalid_request_object' })
  const jarm = await connect('key', oidc.PrivateKeyJwt(key), oidc.useJwtResponseMode)
  await signIn(jarm)
  did('signed answer')
}

/** Answers that only the portal can read. */
async function sealed() {
  const metadata = { userinfo_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256' }
  const config = await connectAs('sealed', metadata, oidc.ClientSecretBasic(clients.sealed.secret))
  const key = await crypto.subtle.importKey('jwk', clients.sealed.key, { name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits'])
  oidc.enableDecryptingResponses(config, undefined, { key, kid: clients.sealed.key.kid, alg: 'ECDH-ES+A128KW' })
  const tokens = await signIn(config)
  assert.equal(tokens.id_token.split('.').length, 5)
  const claims = tokens.claims()
  assert.equal(claims.iss, settings.issuer)
  const person = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub)
  assert.equal(person.email, settings.email)
  assert.equal(person.aud, clients.sealed.id)
  const state = await oidc.tokenIntrospection(config, tokens.access_token)
  assert.ok(state.active && state.sub === claims.sub)
  const blind = await connectAs('sealed', metadata, oidc.ClientSecretBasic(clients.sealed.secret))
  await assert.rejects(() => signIn(blind))
  did('encrypted answers')
}

/** Tokens that a key holds. The service wants its nonce in every proof; the library asks and tries again. */
async function bound() {
  const config = await connect('bound', oidc.ClientSecretBasic(clients.bound.secret))
  const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'))
  const { parameters, checks } = await begin()
  const back = await visit(await oidc.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }))
  const tokens = await oidc.authorizationCodeGrant(config, back, checks, undefined, { DPoP })
  assert.equal(tokens.token_type, 'dpop')
  const person = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
  assert.equal(person.email, settings.email)
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  await refused('a stolen token', () => oidc.fetchUserInfo(config, fresh.access_token, person.sub), { status: 401, error: 'invalid_token' })
  const thief = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'))
  await refused('a stolen token with another key', () => oidc.fetchUserInfo(config, fresh.access_token, person.sub, { DPoP: thief }), { status: 401, error: 'invalid_dpop_proof' })
  did('DPoP')
}

/** Grants without a browser of their own. */
async function grants(tokens) {
  const machine = await connect('machine', oidc.PrivateKeyJwt(await privateKey('machine')))
  const own = await oidc.clientCredentialsGrant(machine, { scope: 'reports.read' })
  assert.equal(own.scope, 'reports.read')
  await refused('a scope of others', () => oidc.clientCredentialsGrant(machine, { scope: 'reports.write' }), { error: 'invalid_scope' })
  did('client credentials')
  const exchanged = await oidc.genericGrantRequest(machine, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: tokens.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', scope: 'email',
  })
  assert.equal(exchanged.issued_token_type, 'urn:ietf:params:oauth:token-type:access_token')
  did('token exchange')
  const secretly = await connect('secretly', oidc.ClientSecretJwt(clients.secretly.secret))
  assert.ok((await oidc.clientCredentialsGrant(secretly)).access_token)
  did('client_secret_jwt')
  const tv = await connect('tv', oidc.None())
  const asked = await oidc.initiateDeviceAuthorization(tv, { scope: 'openid email' })
  assert.ok(asked.user_code && asked.verification_uri)
  const polled = oidc.pollDeviceAuthorizationGrant(tv, { ...asked, interval: 1 })
  await approve(asked.verification_uri_complete)
  assert.equal((await oidc.fetchUserInfo(tv, (await polled).access_token, oidc.skipSubjectCheck)).email, settings.email)
  did('device grant')
}

/** Somebody who is elsewhere is asked (OpenID CIBA). */
async function elsewhere() {
  const till = await connect('till', oidc.ClientSecretBasic(clients.till.secret))
  const request = { scope: 'openid email', login_hint: settings.email, binding_message: 'W4SCT' }
  const asked = await oidc.initiateBackchannelAuthentication(till, request)
  await approve(settings.issuer + '/account/requests')
  const tokens = await oidc.pollBackchannelAuthenticationGrant(till, { ...asked, interval: 1 })
  assert.equal((await oidc.fetchUserInfo(till, tokens.access_token, tokens.claims().sub)).email, settings.email)
  await refused('a message that nobody compares', () => oidc.initiateBackchannelAuthentication(till, { ...request, binding_message: 'x'.repeat(500) }), { error: 'invalid_binding_message' })
  did('CIBA')
}

/** More than a scope can say (RFC 9396). */
async function details() {
  const config = await connect('payer', oidc.ClientSecretBasic(clients.payer.secret))
  const asking = details => ({ more: { authorization_details: JSON.stringify([details]) } })
  const wanted = { type: 'payment', amount: 12.5 }
  const tokens = await signIn(config, oidc.buildAuthorizationUrlWithPAR, asking(wanted))
  assert.deepEqual(tokens.authorization_details, [wanted])
  assert.deepEqual((await oidc.tokenIntrospection(config, tokens.access_token)).authorization_details, [wanted])
  await refused('details that nobody described', () => signIn(config, oidc.buildAuthorizationUrlWithPAR, asking({ type: 'transfer' })), { error: 'invalid_authorization_details' })
  did('authorization details')
}

async function registration() {
  const options = { initialAccessToken: settings.registration, execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] }
  const metadata = { client_name: 'Registered by itself', redirect_uris: [redirect], grant_types: ['authorization_code', 'refresh_token'], token_endpoint_auth_method: 'client_secret_basic' }
  await refused('registration without a token', () => oidc.dynamicClientRegistration(issuer, metadata, undefined, { ...options, initialAccessToken: 'invented' }), { status: 401, error: 'invalid_token' })
  const config = await oidc.dynamicClientRegistration(issuer, metadata, undefined, options)
  const mine = await oidc.discovery(issuer, config.clientMetadata().client_id, {}, oidc.ClientSecretBasic(config.clientMetadata().client_secret), options)
  const tokens = await signIn(mine, oidc.buildAuthorizationUrl, { more: { scope: 'openid email' } })
  assert.ok(tokens.claims().sub)
  did('dynamic registration')
}

async function signOut(config, tokens) {
  const back = await visit(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: settings.postLogout, state: 's1' }))
  assert.equal(back.href, settings.postLogout + '?state=s1')
  const { parameters, checks } = await begin({ prompt: 'none' })
  const url = await visit(oidc.buildAuthorizationUrl(config, parameters))
  await refused('a session that ended', () => oidc.authorizationCodeGrant(config, url, checks), { error: 'login_required' })
  did('sign-out')
}

const { config, tokens, claims } = await portal()
await refusals(config, { token: tokens.access_token, hint: tokens.id_token, ...claims })
await requests()
await sealed()
await bound()
await grants(tokens)
await elsewhere()
await details()
await registration()
await signOut(config, tokens)
end()
