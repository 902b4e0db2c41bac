// Package fetch reads what clients of the provider publish: key sets, request
// objects, lists of redirect URIs; and posts to addresses that they registered.
//
// Whoever names such an address chooses where we connect to (server-side request
// forgery, CWE-918; RFC 9700 section 4.13). So: https only, no redirects, no
// proxies of the environment, bounded time and size, no decompression; and the
// address is judged when the connection is made, after the name was resolved,
// so that a name that resolves twice differently gains nothing. Addresses that
// are not public are refused unless the operator allowed their network.
package fetch
