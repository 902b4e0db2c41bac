// oauth4webapi: the protocol step by step, as those use it who write libraries
// and resource servers.
import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'
import { approve, did, end, refused, settings, visit } from './talk.js'

const issuer = new URL(settings.issuer)
const plain = { [oauth.allowInsecureRequests]: issuer.protocol === 'http:' }
const { clients, redirect } = settings
const scope = 'openid profile email roles offline_access'

const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, plain))
await refused('metadata of another issuer', async () =>
  oauth.processDiscoveryResponse(new URL('https://evil.example'), await oauth.discoveryRequest(issuer, plain)), { code: 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED' })
did('discovery')

const import_ = name => crypto.subtle.importKey('jwk', clients[name].key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])

/** A sign-in by PAR or by the query; DPoP, JARM and signatures as wanted. */
async function signIn({ client, auth, push, DPoP, jarm, claims = {} }) {
  const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState(), nonce = oauth.generateRandomNonce()
  const parameters = new URLSearchParams({
    client_id: client.client_id, response_type: 'code', redirect_uri: redirect, scope, state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...(jarm && { response_mode: 'jwt' }),
  })
  const url = new URL(as.authorization_endpoint)
  url.search = parameters
  if (push) {
    const { request_uri } = await again(async () => oauth.processPushedAuthorizationResponse(as, client,
      await oauth.pushedAuthorizationRequest(as, client, auth, parameters, { DPoP, ...plain })))
    url.search = new URLSearchParams({ client_id: client.client_id, request_uri })
  }
  const back = await visit(url)
  const answer = jarm ? await oauth.validateJwtAuthResponse(as, client, back, state, plain) : oauth.validateAuthResponse(as, client, back, state)
  const tokens = await again(async () => {
    const response = await oauth.authorizationCodeGrantRequest(as, client, auth, answer, redirect, verifier, { DPoP, ...plain })
    const result = await oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true, ...claims })
    await oauth.validateApplicationLevelSignature(as, response, plain)
    return result
  })
  return { tokens, claims: oauth.getValidatedIdTokenClaims(tokens) }
}

/** The service may want its nonce in a proof: once more with it (RFC 9449 section 8). */
async function again(attempt) {
  try {
    return await attempt()
  } catch (err) {
    if (!oauth.isDPoPNonceError(err)) throw err
    did('DPoP nonce')
    return attempt()
  }
}

async function userInfo(client, tokens, claims, options = {}) {
  return oauth.processUserInfoResponse(as, client, claims.sub, await oauth.userInfoRequest(as, client, tokens.access_token, { ...plain, ...options }))
}

async function portal() {
  const client = { client_id: clients.web.id }, auth = oauth.ClientSecretBasic(clients.web.secret)
  const { tokens, claims } = await signIn({ client, auth })
  assert.deepEqual(claims.amr, ['pwd', 'otp', 'mfa'])
  did('sign-in')
  await refused('another nonce', () => signIn({ client, auth, claims: { expectedNonce: 'another' } }), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' })
  const later = { client_id: clients.web.id, [oauth.clockSkew]: 3600 }
  await refused('a token of an hour ago', () => signIn({ client: later, auth }), { code: 'OAUTH_JWT_TIMESTAMP_CHECK_FAILED' })
  assert.equal((await userInfo(client, tokens, claims)).email, settings.email)
  did('userinfo')
  const refresh = async token => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, token, plain))
  const fresh = await refresh(tokens.refresh_token)
  did('refresh')
  const state = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, fresh.access_token, plain))
  assert.ok(state.active)
  did('introspection')
  await api(fresh.access_token, [state.aud].flat()[0])
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, fresh.refresh_token, plain))
  await refused('a revoked token', () => refresh(fresh.refresh_token), { code: 'OAUTH_RESPONSE_BODY_ERROR', error: 'invalid_grant' })
  did('revocation')
}

/** A resource server that verifies access tokens by itself (RFC 9068 section 4). */
async function api(token, audience, headers = {}, method = 'GET') {
  const request = () => new Request('https://api.example/reports', { method, headers: { authorization: `Bearer ${token}`, ...headers } })
  const claims = await oauth.validateJwtAccessToken(as, request(), audience, plain)
  assert.equal(claims.client_id, clients.web.id)
  await refused('a token for another API', () => oauth.validateJwtAccessToken(as, request(), 'https://other.example', plain), { code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' })
  did('JWT access token')
}

async function signed() {
  const client = { client_id: clients.key.id }, key = { key: await import_('key'), kid: clients.key.key.kid }
  const auth = oauth.PrivateKeyJwt(key)
  await signIn({ client, auth, push: true, jarm: true })
  did('private_key_jwt')
  did('pushed request')
  did('signed answer')
  const other = await oauth.generateKeyPair('ES256')
  await refused('an assertion by another key', () => signIn({ client, auth: oauth.PrivateKeyJwt({ key: other.privateKey, kid: key.kid }), push: true }), { status: 401, error: 'invalid_client' })
}

async function bound() {
  const client = { client_id: clients.bound.id }, auth = oauth.ClientSecretBasic(clients.bound.secret)
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const { tokens, claims } = await signIn({ client, auth, push: true, DPoP })
  assert.equal(tokens.token_type, 'dpop')
  assert.equal((await again(() => userInfo(client, tokens, claims, { DPoP }))).email, settings.email)
  await refused('a stolen token', () => userInfo(client, tokens, claims), { status: 401, error: 'invalid_token' })
  await refused('a request that is not pushed', () => signIn({ client, auth }), { code: 'OAUTH_AUTHORIZATION_RESPONSE_ERROR', error: 'invalid_request' })
  did('DPoP')
}

async function grants() {
  const client = { client_id: clients.machine.id }, auth = oauth.PrivateKeyJwt({ key: await import_('machine'), kid: clients.machine.key.kid })
  await oauth.processClientCredentialsResponse(as, client, await oauth.clientCredentialsGrantRequest(as, client, auth, { scope: 'reports.read' }, plain))
  did('client credentials')
  const tv = { client_id: clients.tv.id }
  const asked = await oauth.processDeviceAuthorizationResponse(as, tv, await oauth.deviceAuthorizationRequest(as, tv, oauth.None(), { scope: 'openid email' }, plain))
  await approve(asked.verification_uri_complete)
  const poll = async () => oauth.processDeviceCodeResponse(as, tv, await oauth.deviceCodeGrantRequest(as, tv, oauth.None(), asked.device_code, plain))
  assert.ok((await poll()).id_token)
  await refused('a device code that was used', poll, { code: 'OAUTH_RESPONSE_BODY_ERROR', error: 'invalid_grant' })
  did('device grant')
}

async function registration() {
  const metadata = { redirect_uris: [redirect], client_name: 'Registered by itself' }
  const register = async options => oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, metadata, { ...plain, ...options }))
  const made = await register({ initialAccessToken: settings.registration })
  assert.ok(made.client_secret && made.registration_access_token)
  await refused('registration without a token', () => register({}), { status: 401 })
  did('dynamic registration')
}

await portal()
await signed()
await bound()
await grants()
await registration()
end()
