// Package provider is the OpenID Provider: what portals talk to. It is the only
// importer of fosite, and no fosite type leaves it.
//
//	/authorize                               GET, POST   Authorize: checks a request, hands it to the hub
//	/par                                     POST        PushAuthorization: takes a request ahead of the browser
//	/token                                   POST        Token: codes, refresh tokens and client secrets for tokens
//	/userinfo                                GET, POST   UserInfo: claims of the person of an access token
//	/introspect                              POST        Introspect: is this token good, for its owner or audience
//	/revoke                                  POST        Revoke: ends an access token, or a refresh token's family
//	/logout                                  GET, POST   Logout: RP-initiated logout
//	/register                                POST, GET, PUT, DELETE  Register: clients register themselves, if they may
//	/check-session                           GET         CheckSession: portals watch the session in a frame, if they may
//	/device_authorization                    POST        DeviceAuthorization: codes for a device without a browser
//	/device                                  GET, POST   Device: where a person enters the code of a device
//	/bc-authorize                            POST        AuthenticateBackchannel: a client asks for a person who is elsewhere
//	/account/requests                        GET, POST   Requests: where that person decides
//	/jwks.json                               GET         JWKS: the public keys
//	/.well-known/openid-configuration        GET         Discovery
//	/.well-known/oauth-authorization-server  GET         Discovery
//
// An authorization request is checked twice. Authorize checks it before anybody
// signs in: a bad client or redirect URI gets a page of ours and never a
// redirect, everything else that is wrong goes back to the client. Then the hub
// leads the person through the steps, perhaps for minutes and on other nodes,
// and calls Issue, which checks the same parameters from scratch and writes the
// code in the hub's unit of work.
//
// What fosite does and what it does not: it parses requests and runs the grant
// and PKCE handlers. It sees a plain form with the few parameters that these
// need, and a client whose only redirect URI is the one that our own check
// matched. It reads from what we loaded and checked before (exchange), and what
// it wants to write is gathered there and committed once, afterwards; so no
// transaction is ever open while fosite runs, and a lost race is a clean
// invalid_grant. Client authentication, keys, tokens, claims, redirects and
// errors are ours.
//
// A grant is one family: a code, and the tokens that came from it. Codes and
// refresh tokens are opaque and kept as keyed hashes. Access tokens are JWTs
// (RFC 9068) that name their grant; nothing is stored for them, and whoever asks
// us about one (userinfo, introspection) learns of revoked grants, ended
// sessions and disabled accounts at once.
package provider
