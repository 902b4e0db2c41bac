// openid-client as a client of FAPI 2.0: over TLS, requests pushed and signed,
// answers signed, tokens held by a key or by a certificate.
import assert from 'node:assert/strict'
import * as oidc from 'openid-client'
import * as undici from 'undici'
import { did, end, refused, settings, visit } from './talk.js'

const issuer = new URL(settings.issuer)
const { clients, redirect } = settings
const ES256 = { name: 'ECDSA', namedCurve: 'P-256' }

const privateKey = async name => ({ key: await crypto.subtle.importKey('jwk', clients[name].key, ES256, false, ['sign']), kid: clients[name].key.kid })

async function begin(config, more = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier(), expectedNonce = oidc.randomNonce()
  return {
    parameters: {
      redirect_uri: redirect, scope: 'openid email offline_access', nonce: expectedNonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...more,
    },
    checks: { pkceCodeVerifier, expectedNonce, idTokenExpected: true },
  }
}

async function byKey() {
  const key = await privateKey('fapi')
  const connect = (...also) => oidc.discovery(issuer, clients.fapi.id, { id_token_signed_response_alg: 'PS256', authorization_signed_response_alg: 'PS256' }, oidc.PrivateKeyJwt(key), { execute: [oidc.enableNonRepudiationChecks, ...also] })
  const config = await connect()
  const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'))
  const { parameters, checks } = await begin(config)
  const back = await visit(await oidc.buildAuthorizationUrlWithPAR(config, parameters, { DPoP }))
  const tokens = await oidc.authorizationCodeGrant(config, back, checks, undefined, { DPoP })
  assert.equal((await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })).email, settings.email)
  const fresh = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  assert.ok(fresh.access_token)
  assert.ok((await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })).access_token, 'refresh tokens are not rotated')
  did('FAPI 2.0 with DPoP')

  const signed = await connect(oidc.useJwtResponseMode)
  const second = await begin(signed)
  const request = await oidc.buildAuthorizationUrlWithJAR(signed, { ...second.parameters, response_mode: 'jwt' }, key)
  const answer = await visit(await oidc.buildAuthorizationUrlWithPAR(signed, request.searchParams, { DPoP }))
  assert.ok((await oidc.authorizationCodeGrant(signed, answer, second.checks, undefined, { DPoP })).access_token)
  did('FAPI 2.0 Message Signing')

  const refusedHere = await begin(config)
  const direct = await visit(oidc.buildAuthorizationUrl(config, refusedHere.parameters))
  await refused('a request that is not pushed', () => oidc.authorizationCodeGrant(config, direct, refusedHere.checks, undefined, { DPoP }), { error: 'invalid_request' })
  const third = await begin(config)
  const code = await visit(await oidc.buildAuthorizationUrlWithPAR(config, third.parameters))
  await refused('a token that nobody holds', () => oidc.authorizationCodeGrant(config, code, third.checks), { error: 'invalid_dpop_proof' })
  const careless = await oidc.discovery(issuer, clients.fapi.id, {}, oidc.PrivateKeyJwt(key, { [oidc.modifyAssertion]: (_, payload) => { payload.aud = [payload.aud, config.serverMetadata().token_endpoint] } }))
  await refused('an assertion for two', async () => oidc.buildAuthorizationUrlWithPAR(careless, (await begin(careless)).parameters), { status: 401, error: 'invalid_client' })
}

async function byCertificate() {
  const show = (cert, key) => {
    const dispatcher = new undici.Agent({ connect: { cert, key, ca: settings.ca } })
    return (url, options) => undici.fetch(url, { ...options, dispatcher })
  }
  const connect = async (cert, key) => {
    const config = await oidc.discovery(issuer, clients.certified.id, { use_mtls_endpoint_aliases: true, id_token_signed_response_alg: 'PS256' }, oidc.TlsClientAuth(),
      { execute: [oidc.enableNonRepudiationChecks], [oidc.customFetch]: show(cert, key) })
    return config
  }
  const config = await connect(settings.certificate, settings.certificateKey)
  const { parameters, checks } = await begin(config)
  const tokens = await oidc.authorizationCodeGrant(config, await visit(await oidc.buildAuthorizationUrlWithPAR(config, parameters)), checks)
  assert.equal((await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)).email, settings.email)
  assert.ok((await oidc.refreshTokenGrant(config, tokens.refresh_token)).access_token)
  did('mutual TLS')
  const thief = await connect(settings.otherCertificate, settings.otherCertificateKey)
  await refused('another certificate', () => oidc.refreshTokenGrant(thief, tokens.refresh_token), { status: 401, error: 'invalid_client' })
  await refused('a token with another certificate', () => oidc.fetchUserInfo(thief, tokens.access_token, tokens.claims().sub), { status: 401, error: 'invalid_token' })
}

await byKey()
await byCertificate()
end()
