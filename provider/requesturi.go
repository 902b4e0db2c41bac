package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"anteroom/store"
)

// requestURIs is the client metadata of OpenID Connect Registration section 2.
const requestURIs = "request_uris"

// requestAge is how old a request may be that was fetched before: strangers can
// make us ask a client's server, but not as often as they like.
const requestAge = 5 * time.Second

func badReference(cause error) *refusal {
	return refuse("invalid_request_uri", "The request_uri is not one that this client registered, or there is no request now (OpenID Connect Core section 6.2).").because(cause)
}

// digest is what the fragment of a request_uri may be: the base64url SHA-256
// digest of what is there (OpenID Connect Core section 6.2).
var digest = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// fetchObject returns the request object at an address that the client
// registered. A fragment is not of the address; if it is a digest, then what is
// fetched must have it, and what was fetched before is good as long as it has.
func (p *Provider) fetchObject(ctx context.Context, c store.Client, reference string) (string, error) {
	address, fragment, _ := strings.Cut(reference, "#")
	if !slices.ContainsFunc(listed(c, requestURIs), func(uri string) bool {
		registered, _, _ := strings.Cut(uri, "#")
		return registered == address
	}) {
		return "", badReference(errors.New("not registered"))
	}
	fits := func(body []byte) bool {
		sum := sha256.Sum256(body)
		return !digest.MatchString(fragment) || base64.RawURLEncoding.EncodeToString(sum[:]) == fragment
	}
	var body []byte
	var err error
	if digest.MatchString(fragment) {
		body, err = p.fetch.Get(ctx, address)
	}
	if body == nil || err != nil || !fits(body) {
		body, err = p.fetch.Newer(ctx, address, requestAge)
	}
	if err == nil && !fits(body) {
		err = fmt.Errorf("what is there has not the digest %s", fragment)
	}
	if err != nil {
		return "", badReference(err)
	}
	return strings.TrimSpace(string(body)), nil
}

// listed returns metadata of a client that is a list of texts.
func listed(c store.Client, name string) []string {
	list, _ := stringList(c.Settings[name])
	return list
}

// requestMetadata is what a client may register about its requests. Only the
// operator lets it send unsigned ones.
func (p *Provider) requestMetadata() []field {
	fields := []field{
		{requestAlg, func(_ *Provider, v any) string {
			if !contains(clientAlgorithms, text1(v)) {
				return "must be one of " + strings.Join(clientAlgorithms, ", ")
			}
			return ""
		}},
		{"require_signed_request_object", checkBool},
	}
	if p.requestURIs {
		fields = append(fields, field{requestURIs, (*Provider).checkRequestURIs})
	}
	return fields
}

func (p *Provider) checkRequestURIs(v any) string {
	list, ok := stringList(v)
	if !ok || len(list) > 20 {
		return "is a list of at most 20 URIs"
	}
	for _, uri := range list {
		if wrong := p.checkFetched(uri); wrong != "" {
			return "has an item that " + wrong
		}
	}
	return ""
}

// checkRequests says what is wrong with how a client sends its requests.
func (p *Provider) checkRequests(c store.Client, say func(field, format string, args ...any)) {
	alg, must := setting(c, requestAlg), flag(c, "require_signed_request_object")
	switch {
	case alg == requestUnsigned && must:
		say(requestAlg, "is none, and require_signed_request_object asks for a signature; keep one of the two")
	case alg != "" && alg != requestUnsigned && !contains(clientAlgorithms, alg):
		say(requestAlg, "must be none or one of %s", strings.Join(clientAlgorithms, ", "))
	case must && cannotSign(c) != "":
		say("jwks", "%s; signed requests need the client's public keys", cannotSign(c))
	}
	uris, sent := c.Settings[requestURIs]
	if !sent {
		return
	}
	if !p.requestURIs {
		say(requestURIs, "requests are not fetched; the setting fetch.request_objects of the service turns it on")
	} else if wrong := p.checkRequestURIs(uris); wrong != "" {
		say(requestURIs, "%s", wrong)
	}
}
